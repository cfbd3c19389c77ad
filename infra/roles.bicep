// Who may do what with Birthcert's own resources, on the data plane alone; roles on hubs and DPS stand in iot/.
// The descriptions say why, here and in the portal. tests/infra compares them with the calls that the code makes.

@description('Object id of the app\'s identity.')
param principalId string

@description('Object id of the identity by which Event Grid writes dead letters.')
param deliveryPrincipalId string

@description('Object id of whoever deploys; empty: nobody.')
param deployerId string

@description('What the one who deploys is.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param deployerType string

@description('Storage account of the Functions host.')
param hostStorageName string

@description('Storage account of ledger, queues and batches.')
param ledgerName string

@description('Key Vault.')
param vaultName string

@description('Topic of lifecycle events.')
param topicName string

@description('Namespace of the DPS records.')
param eventHubNamespaceName string

@description('Event Hub of the DPS records.')
param eventHubName string

@description('Application Insights.')
param applicationInsightsName string

var roles = loadJsonContent('roles.json')
var definitions = 'Microsoft.Authorization/roleDefinitions'

resource hostStorage 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: hostStorageName

  resource blobs 'blobServices' existing = {
    name: 'default'

    resource deadLetterContainer 'containers' existing = {
      name: 'dead-letters'
    }
  }
}

resource ledger 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: ledgerName
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

resource topic 'Microsoft.EventGrid/topics@2025-02-15' existing = {
  name: topicName
}

resource eventHubs 'Microsoft.EventHub/namespaces@2024-01-01' existing = {
  name: eventHubNamespaceName

  resource dpsLogs 'eventhubs' existing = {
    name: eventHubName
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

resource hostBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hostStorage.id, principalId, roles['Storage Blob Data Owner'])
  scope: hostStorage
  properties: {
    roleDefinitionId: subscriptionResourceId(definitions, roles['Storage Blob Data Owner'])
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'The Functions host keeps its package, function keys, timer leases and Event Hub checkpoints there.'
  }
}

resource tables 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(ledger.id, principalId, roles['Storage Table Data Contributor'])
  scope: ledger
  properties: {
    roleDefinitionId: subscriptionResourceId(definitions, roles['Storage Table Data Contributor'])
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'The ledger: makes its tables, reads and writes their rows.'
  }
}

resource queues 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(ledger.id, principalId, roles['Storage Queue Data Contributor'])
  scope: ledger
  properties: {
    roleDefinitionId: subscriptionResourceId(definitions, roles['Storage Queue Data Contributor'])
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'Queues of work: makes them, sends, counts and replays messages; the triggers take them up.'
  }
}

resource files 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(ledger.id, principalId, roles['Storage Blob Data Contributor'])
  scope: ledger
  properties: {
    roleDefinitionId: subscriptionResourceId(definitions, roles['Storage Blob Data Contributor'])
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'The files of batches: makes their container, writes them block by block, reads them.'
  }
}

resource secrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, principalId, roles['Key Vault Secrets User'])
  scope: vault
  properties: {
    roleDefinitionId: subscriptionResourceId(definitions, roles['Key Vault Secrets User'])
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'Reads the credentials for DigiCert ONE and the devices\' passcodes.'
  }
}

resource publishing 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(topic.id, principalId, roles['EventGrid Data Sender'])
  scope: topic
  properties: {
    roleDefinitionId: subscriptionResourceId(definitions, roles['EventGrid Data Sender'])
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'Publishes lifecycle events.'
  }
}

resource records 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(eventHubs::dpsLogs.id, principalId, roles['Azure Event Hubs Data Receiver'])
  scope: eventHubs::dpsLogs
  properties: {
    roleDefinitionId: subscriptionResourceId(definitions, roles['Azure Event Hubs Data Receiver'])
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'The Event Hub trigger reads the DPS\'s diagnostic records.'
  }
}

resource telemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, principalId, roles['Monitoring Metrics Publisher'])
  scope: insights
  properties: {
    roleDefinitionId: subscriptionResourceId(definitions, roles['Monitoring Metrics Publisher'])
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'The Functions host sends logs and metrics; Application Insights takes them from identities alone.'
  }
}

resource deadLetters 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hostStorage::blobs::deadLetterContainer.id, deliveryPrincipalId, roles['Storage Blob Data Contributor'])
  scope: hostStorage::blobs::deadLetterContainer
  properties: {
    roleDefinitionId: subscriptionResourceId(definitions, roles['Storage Blob Data Contributor'])
    principalId: deliveryPrincipalId
    principalType: 'ServicePrincipal'
    description: 'Event Grid keeps the events there that it could not deliver.'
  }
}

resource setup 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(deployerId)) {
  name: guid(vault.id, deployerId, roles['Key Vault Secrets Officer'])
  scope: vault
  properties: {
    roleDefinitionId: subscriptionResourceId(definitions, roles['Key Vault Secrets Officer'])
    principalId: deployerId
    principalType: deployerType
    description: 'Whoever deploys puts the credentials into the vault.'
  }
}
