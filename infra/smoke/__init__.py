"""`python -m infra.smoke`: does a deployment do what devices need; infra/README.md, "Smoke test"."""
