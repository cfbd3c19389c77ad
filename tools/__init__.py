"""Commands for people and factories that use a deployed Birthcert: they speak its API over HTTPS, and nothing else."""
