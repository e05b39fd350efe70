"""Downloads: resumed, retried, checked, from a folder, a web server or an S3 bucket."""
