// The topic of lifecycle events, and the identity by which Event Grid writes what it could not deliver.

@description('What makes names unique.')
param token string

@description('Region.')
param location string

@description('Tags of everything.')
param tags object

@description('Log Analytics workspace that keeps failures of delivery.')
param logAnalyticsId string

@description('Subnet of the private endpoint; empty: the topic is reached by its public address.')
param endpointSubnetId string

// The zone is made by network.bicep, in this resource group.
var endpoint = {
  subnetResourceId: endpointSubnetId
  tags: tags
  privateDnsZoneGroup: {
    privateDnsZoneGroupConfigs: [
      { privateDnsZoneResourceId: resourceId('Microsoft.Network/privateDnsZones', 'privatelink.eventgrid.azure.net') }
    ]
  }
}

module topic 'br/public:avm/res/event-grid/topic:0.10.0' = {
  name: 'topic'
  params: {
    name: 'evgt-${token}'
    location: location
    tags: tags
    inputSchema: 'CloudEventSchemaV1_0' // what the app publishes
    disableLocalAuth: true
    minimumTlsVersionAllowed: '1.2'
    publicNetworkAccess: empty(endpointSubnetId) ? 'Enabled' : 'Disabled'
    diagnosticSettings: [{ workspaceResourceId: logAnalyticsId }]
    privateEndpoints: empty(endpointSubnetId) ? [] : [endpoint]
    enableTelemetry: false
  }
}

// One for all system topics: an account without shared keys takes dead letters from an identity alone.
module deliveryIdentity 'br/public:avm/res/managed-identity/user-assigned-identity:0.6.0' = {
  name: 'delivery-identity'
  params: {
    name: 'id-events-${token}'
    location: location
    tags: tags
    enableTelemetry: false
  }
}

@description('Name of the topic.')
output topicName string = topic.outputs.name

@description('Where lifecycle events are published.')
output topicUrl string = topic.outputs.endpoint

@description('Resource id of the identity of all system topics.')
output deliveryIdentityId string = deliveryIdentity.outputs.resourceId

@description('Object id of that identity.')
output deliveryPrincipalId string = deliveryIdentity.outputs.principalId
