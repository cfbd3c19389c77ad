"""Births that do not pass Birthcert: a device, or its factory, gets the certificate from DigiCert ONE itself.

The clients are other people's: strongSwan's `pki` for SCEP, the ACME library of certbot, `openssl cmp`. Each way makes
a new key and returns it with the certificate and the issuing CA's; DeviceError says in one line what went wrong.
"""
