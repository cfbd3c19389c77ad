#!/bin/sh
# After the code is up: Event Grid's subscriptions to its functions, then DPS and Key Vault. Both may be repeated.
set -eu

python=.venv/bin/python
[ -x "$python" ] || python=python3

# Azure lists the functions of new code a little later, and Event Grid refuses one that it cannot find.
tries=5
until az deployment sub create --subscription "$AZURE_SUBSCRIPTION_ID" --location "$AZURE_LOCATION" \
  --name "birthcert-$AZURE_FUNCTION_APP_NAME" --parameters infra/subscriptions/main.bicepparam --output none; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || exit 1
  sleep 30
done

"$python" -m infra.setup ${BIRTHCERT_SECRETS_FILE:+--secrets "$BIRTHCERT_SECRETS_FILE"}
