// What Birthcert needs in Azure, in one resource group of its own; hubs and DPS may be there already, in other groups.
// This is the first of two phases: Event Grid delivers to functions that exist, so subscriptions/ follows the code.
targetScope = 'subscription'

@description('Name of the azd environment; all names derive from it.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Region of everything that is created.')
@minLength(1)
param location string

@description('Object id of whoever deploys: may write secrets, and the enrollment group. Empty: nobody.')
param principalId string = ''

@description('What the one who deploys is; a pipeline is a ServicePrincipal.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param principalType string = 'User'

// Elastic Premium is no choice: its content share needs an account key.
@description('Flex Consumption, or an App Service plan of Premium v3.')
@allowed(['Flex', 'Premium'])
param plan string = 'Flex'

@description('Most instances that Flex may start.')
@minValue(40)
@maxValue(1000)
param maximumInstances int = 100

// DPS and devices do not wait for a cold start.
@description('Instances for HTTP that Flex keeps warm, or the number of Premium instances.')
@minValue(1)
@maxValue(30)
param warmInstances int = 1

@description('Whether instances are spread over zones: where the region has them, and with at least 2 warm ones.')
param zoneRedundant bool = false

@description('Resource ids of IoT hubs that are there already, separated by commas. Empty: one is created.')
param existingHubIds string = ''

@description('Event Grid system topics that those hubs have already, by hub name; Azure allows one for each hub.')
param existingHubTopics object = {}

@description('Name of the hub to create, by which profiles.toml calls it. Empty: a name that nobody else has.')
param hubName string = ''

@description('Size of the hub to create. Basic tiers have no device twins, and do not fit.')
@allowed(['F1', 'S1', 'S2', 'S3'])
param hubSku string = 'S1'

@description('Units of the hub to create. A unit of S1 takes 100 identity changes a minute.')
@minValue(1)
@maxValue(200)
param hubUnits int = 1

@description('Resource id of a Device Provisioning Service that is there already. Empty: one is created.')
param existingDpsId string = ''

@description('True only where profiles.toml names a direct method.')
param directMethods bool = false

@description('The header of the client certificate, X-ARR-ClientCert. Empty: none is trusted. Read README.md first.')
param clientCertificateHeader string = ''

@description('Key Vault secret by which a gateway of one\'s own proves itself. Empty: App Service alone is in front.')
param frontEndSecretName string = ''

@description('How many devices are asked to renew a minute.')
@minValue(1)
@maxValue(999999)
param nudgesPerMinute int = 20

@description('How many rows of batches go to DigiCert ONE a minute, all batches together.')
@minValue(1)
@maxValue(999999)
param batchRowsPerMinute int = 120

@description('How many megabytes a batch\'s file may have.')
@minValue(1)
@maxValue(999999)
param batchMegabytes int = 1024

@description('Application (client) id by which operators sign in through App Service. Empty: function keys alone.')
param operatorsClientId string = ''

@description('Where alerts go. Empty: nowhere until the action group is given a receiver.')
param operatorEmail string = ''

@description('Storage of the ledger goes through private endpoints, and so do vault, queues, event hub and topic.')
param privateNetwork bool = false

@description('With the private network: the address from which whoever deploys may still reach Key Vault.')
param deployerAddress string = ''

@description('How often the ledger is stored, and where.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS'])
param ledgerRedundancy string = 'Standard_ZRS'

@description('How long logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 90

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }
var endpointSubnetId = privateNetwork ? network!.outputs.endpointSubnetId : ''

// `azd down` deletes each resource group that the deployment declares: this one, and never those of existing services.
resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity 'br/public:avm/res/managed-identity/user-assigned-identity:0.6.0' = {
  name: 'identity'
  scope: group
  params: {
    name: 'id-${token}'
    location: location
    tags: tags
    enableTelemetry: false
  }
}

module observability 'observability.bicep' = {
  name: 'observability'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    retentionDays: logRetentionDays
    operatorEmail: operatorEmail
  }
}

module network 'network.bicep' = if (privateNetwork) {
  name: 'network'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    plan: plan
  }
}

// Two accounts: what the Functions host stores takes nothing from the ledger's share of requests, and the ledger may be
// stored in more than one zone or region without paying that for packages and leases.
module hostStorage 'storage.bicep' = {
  name: 'host-storage'
  scope: group
  params: {
    name: 'sthost${token}'
    location: location
    tags: tags
    sku: 'Standard_LRS'
    containers: ['packages', 'dead-letters']
    services: ['blob']
    endpointSubnetId: endpointSubnetId
  }
}

module ledger 'storage.bicep' = {
  name: 'ledger'
  scope: group
  params: {
    name: 'stledger${token}'
    location: location
    tags: tags
    sku: ledgerRedundancy
    containers: []
    services: ['table', 'queue', 'blob']
    endpointSubnetId: endpointSubnetId
  }
}

module events 'events.bicep' = {
  name: 'events'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    logAnalyticsId: observability.outputs.logAnalyticsId
    endpointSubnetId: endpointSubnetId
  }
}

module vault 'vault.bicep' = {
  name: 'vault'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    logAnalyticsId: observability.outputs.logAnalyticsId
    deliveryIdentityId: events.outputs.deliveryIdentityId
    endpointSubnetId: endpointSubnetId
    deployerAddress: deployerAddress
  }
}

module monitor 'monitor/main.bicep' = {
  name: 'monitor'
  scope: group
  params: {
    workspaceId: observability.outputs.logAnalyticsId
    applicationInsightsId: observability.outputs.applicationInsightsId
    actionGroupIds: [observability.outputs.actionGroupId]
    topicIds: concat(iot.outputs.topicIds, [vault.outputs.topicId])
    location: location
    tags: tags
  }
}

module iot 'iot/main.bicep' = {
  name: 'iot-${token}'
  params: {
    token: token
    groupName: group.name
    location: location
    tags: tags
    existingHubIds: existingHubIds
    existingHubTopics: existingHubTopics
    hubName: empty(hubName) ? 'iot-${token}' : hubName
    hubSku: hubSku
    hubUnits: hubUnits
    existingDpsId: existingDpsId
    directMethods: directMethods
    principalId: identity.outputs.principalId
    deployerId: principalId
    deployerType: principalType
    deliveryIdentityId: events.outputs.deliveryIdentityId
    logAnalyticsId: observability.outputs.logAnalyticsId
    endpointSubnetId: endpointSubnetId
  }
}

module roles 'roles.bicep' = {
  name: 'roles'
  scope: group
  params: {
    principalId: identity.outputs.principalId
    deliveryPrincipalId: events.outputs.deliveryPrincipalId
    deployerId: principalId
    deployerType: principalType
    hostStorageName: hostStorage.outputs.name
    ledgerName: ledger.outputs.name
    vaultName: vault.outputs.name
    topicName: events.outputs.topicName
    eventHubNamespaceName: iot.outputs.eventHubNamespaceName
    eventHubName: iot.outputs.eventHubName
    applicationInsightsName: observability.outputs.applicationInsightsName
  }
}

module app 'app.bicep' = {
  name: 'app'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    plan: plan
    maximumInstances: maximumInstances
    warmInstances: warmInstances
    zoneRedundant: zoneRedundant
    identityId: identity.outputs.resourceId
    clientId: identity.outputs.clientId
    subnetId: privateNetwork ? network!.outputs.appSubnetId : ''
    hostBlobUri: hostStorage.outputs.blobUri
    applicationInsightsConnection: observability.outputs.applicationInsightsConnection
    vaultUrl: vault.outputs.url
    tableUri: ledger.outputs.tableUri
    queueUri: ledger.outputs.queueUri
    blobUri: ledger.outputs.blobUri
    dpsHost: iot.outputs.dpsHost
    hubs: iot.outputs.hubs
    topicUrl: events.outputs.topicUrl
    eventHubNamespaceHost: iot.outputs.eventHubNamespaceHost
    eventHubName: iot.outputs.eventHubName
    clientCertificateHeader: clientCertificateHeader
    frontEndSecretName: frontEndSecretName
    nudgesPerMinute: nudgesPerMinute
    batchRowsPerMinute: batchRowsPerMinute
    batchMegabytes: batchMegabytes
    operatorsClientId: operatorsClientId
  }
  dependsOn: [roles] // the host reads its package and its keys at its first start
}

// What the hooks, `python -m shared.settings` and `python -m infra.setup` read from the environment. None is secret.
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_FUNCTION_APP_NAME string = app.outputs.name
output AZURE_FUNCTION_APP_ID string = app.outputs.id
output AZURE_FUNCTION_APP_URL string = app.outputs.url
output KEY_VAULT_URL string = vault.outputs.url
output STORAGE__tableServiceUri string = ledger.outputs.tableUri
output STORAGE__queueServiceUri string = ledger.outputs.queueUri
output STORAGE__blobServiceUri string = ledger.outputs.blobUri
output DPS_HOST string = iot.outputs.dpsHost
output AZURE_DPS_NAME string = last(split(iot.outputs.dpsId, '/'))
output AZURE_DPS_RESOURCE_GROUP string = split(iot.outputs.dpsId, '/')[4]
output DPS_ID_SCOPE string = iot.outputs.idScope
output IOT_HUBS string = app.outputs.hubs
output EVENT_TOPIC_URL string = events.outputs.topicUrl
output HUB_TOPIC_IDS array = iot.outputs.topicIds
output VAULT_TOPIC_ID string = vault.outputs.topicId
output DELIVERY_IDENTITY_ID string = events.outputs.deliveryIdentityId
output DEAD_LETTER_STORAGE_ID string = hostStorage.outputs.id
