// A storage account that no key opens: the app, the Functions host and Event Grid come with identities.

@description('Name of the account.')
@minLength(3)
@maxLength(24)
param name string

@description('Region.')
param location string

@description('Tags of everything.')
param tags object

@description('How often it is stored, and where.')
param sku string

@description('Names of the blob containers.')
param containers array

@description('The services that are used: blob, queue, table. Each has an endpoint of its own in a private network.')
param services array

@description('Subnet of the private endpoints; empty: the account is reached by its public address.')
param endpointSubnetId string

var blobContainers = [for container in containers: { name: container, publicAccess: 'None' }]
// The zones are made by network.bicep, in this resource group.
var zones = [
  for service in services: resourceId(
    'Microsoft.Network/privateDnsZones',
    'privatelink.${service}.${environment().suffixes.storage}'
  )
]
var endpoints = [
  for (service, i) in services: {
    service: service
    subnetResourceId: endpointSubnetId
    tags: tags
    privateDnsZoneGroup: { privateDnsZoneGroupConfigs: [{ privateDnsZoneResourceId: zones[i] }] }
  }
]

module account 'br/public:avm/res/storage/storage-account:0.33.0' = {
  name: 'account-${name}'
  params: {
    name: name
    location: location
    tags: tags
    skuName: sku
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    allowBlobPublicAccess: false
    minimumTlsVersion: 'TLS1_2'
    publicNetworkAccess: empty(endpointSubnetId) ? 'Enabled' : 'Disabled'
    networkAcls: {
      bypass: 'AzureServices' // Event Grid writes dead letters, by its identity, past the firewall
      defaultAction: empty(endpointSubnetId) ? 'Allow' : 'Deny'
    }
    blobServices: {
      containers: blobContainers
      containerDeleteRetentionPolicyEnabled: true
      containerDeleteRetentionPolicyDays: 7
      deleteRetentionPolicyEnabled: true
      deleteRetentionPolicyDays: 7
    }
    privateEndpoints: empty(endpointSubnetId) ? [] : endpoints
    enableTelemetry: false
  }
}

@description('Name of the account.')
output name string = account.outputs.name

@description('Resource id of the account.')
output id string = account.outputs.resourceId

@description('Address of its blobs.')
output blobUri string = account.outputs.serviceEndpoints.blob

@description('Address of its queues.')
output queueUri string = account.outputs.serviceEndpoints.queue

@description('Address of its tables.')
output tableUri string = account.outputs.serviceEndpoints.table
