"""The outside world of Birthcert on loopback: stand-ins, a TLS front, a function host and a device.

Nothing here is imported by the product, and nothing here imports it: the two meet on the wire, joined by
environment variables alone. NOT FOR PRODUCTION: every credential is made at start and printed on request.
"""
