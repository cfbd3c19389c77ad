"""`python -m infra.setup`: what a deployment leaves to be done in DPS and Key Vault; README.md beside it."""
