// From the environment of the azd hook: what the first phase has put out.
using 'main.bicep'

param functionAppId = readEnvironmentVariable('AZURE_FUNCTION_APP_ID')
param hubTopicIds = json(readEnvironmentVariable('HUB_TOPIC_IDS'))
param vaultTopicId = readEnvironmentVariable('VAULT_TOPIC_ID')
param deadLetterStorageId = readEnvironmentVariable('DEAD_LETTER_STORAGE_ID')
param deliveryIdentityId = readEnvironmentVariable('DELIVERY_IDENTITY_ID')
