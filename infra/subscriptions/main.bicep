// The second phase: Event Grid delivers to the app's functions, which the deployment of the code has brought.
targetScope = 'subscription'

@description('Resource id of the function app.')
param functionAppId string

@description('Resource ids of the hubs\' system topics.')
param hubTopicIds array

@description('Resource id of the vault\'s system topic.')
param vaultTopicId string

@description('Resource id of the storage account of dead letters.')
param deadLetterStorageId string

@description('Identity by which Event Grid writes them.')
param deliveryIdentityId string

module hubEvents 'subscription.bicep' = [
  for (id, i) in hubTopicIds: {
    name: 'birthcert-hub-${i}-${uniqueString(functionAppId)}'
    scope: resourceGroup(split(id, '/')[2], split(id, '/')[4])
    params: {
      name: 'birthcert-${last(split(functionAppId, '/'))}'
      topicName: last(split(id, '/'))
      functionId: '${functionAppId}/functions/hub_events'
      eventTypes: [
        'Microsoft.Devices.DeviceCreated'
        'Microsoft.Devices.DeviceDeleted'
        'Microsoft.Devices.DeviceConnected'
        'Microsoft.Devices.DeviceDisconnected'
      ]
      deadLetterStorageId: deadLetterStorageId
      deliveryIdentityId: deliveryIdentityId
    }
  }
]

module secretRenewed 'subscription.bicep' = {
  name: 'birthcert-vault-${uniqueString(functionAppId)}'
  scope: resourceGroup(split(vaultTopicId, '/')[2], split(vaultTopicId, '/')[4])
  params: {
    name: 'birthcert-${last(split(functionAppId, '/'))}'
    topicName: last(split(vaultTopicId, '/'))
    functionId: '${functionAppId}/functions/secret_renewed'
    eventTypes: ['Microsoft.KeyVault.SecretNewVersionCreated']
    deadLetterStorageId: deadLetterStorageId
    deliveryIdentityId: deliveryIdentityId
  }
}
