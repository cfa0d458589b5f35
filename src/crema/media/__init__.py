"""Uploaded files: limits, safe decoding of pictures and workbooks, the store, and deleting orphans."""
