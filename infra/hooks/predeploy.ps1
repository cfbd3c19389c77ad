# Before the code goes up: do the profiles fit the hubs and the settings that are there? Repeating it changes nothing.
$ErrorActionPreference = 'Stop'

$python = '.venv\Scripts\python.exe'
if (-not (Test-Path $python)) { $python = 'python' }

& $python -m shared.settings
exit $LASTEXITCODE
