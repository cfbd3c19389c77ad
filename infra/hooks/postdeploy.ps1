# After the code is up: Event Grid's subscriptions to its functions, then DPS and Key Vault. Both may be repeated.
$ErrorActionPreference = 'Stop'

$python = '.venv\Scripts\python.exe'
if (-not (Test-Path $python)) { $python = 'python' }

# Azure lists the functions of new code a little later, and Event Grid refuses one that it cannot find.
for ($tries = 5; $tries -gt 0; $tries--) {
  az deployment sub create --subscription $env:AZURE_SUBSCRIPTION_ID --location $env:AZURE_LOCATION `
    --name "birthcert-$env:AZURE_FUNCTION_APP_NAME" --parameters infra/subscriptions/main.bicepparam --output none
  if ($LASTEXITCODE -eq 0) { break }
  if ($tries -eq 1) { exit 1 }
  Start-Sleep -Seconds 30
}

$secrets = if ($env:BIRTHCERT_SECRETS_FILE) { @('--secrets', $env:BIRTHCERT_SECRETS_FILE) } else { @() }
& $python -m infra.setup @secrets
exit $LASTEXITCODE
