"""Fetch files from a folder, a web server or an S3 bucket: resumed, retried and checked."""
