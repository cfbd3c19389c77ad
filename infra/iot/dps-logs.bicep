// The Event Hub that takes the DPS's diagnostic records, where the app reads who was registered and who was refused.

@description('What makes names unique.')
param token string

@description('Region of the DPS: a diagnostic setting sends to an Event Hub of its own region alone.')
param location string

@description('Region of the private network.')
param networkLocation string

@description('Tags of everything.')
param tags object

@description('Subnet of the private endpoint; empty: the namespace is reached by its public address.')
param endpointSubnetId string

var eventHub = 'dps-logs'
var zone = 'privatelink.servicebus.windows.net'
var sendingRule = 'azure-monitor'
// The zone is made by network.bicep, in this resource group.
var endpoint = {
  service: 'namespace'
  location: networkLocation
  subnetResourceId: endpointSubnetId
  tags: tags
  privateDnsZoneGroup: {
    privateDnsZoneGroupConfigs: [
      { privateDnsZoneResourceId: resourceId('Microsoft.Network/privateDnsZones', zone) }
    ]
  }
}
var closed = {
  publicNetworkAccess: 'Disabled'
  trustedServiceAccessEnabled: true // Azure Monitor
}

module namespace 'br/public:avm/res/event-hub/namespace:0.15.0' = {
  name: 'event-hubs'
  params: {
    name: 'evhns-${token}'
    location: location
    tags: tags
    skuName: 'Standard'
    skuCapacity: 1
    minimumTlsVersion: '1.2'
    // Azure Monitor knows no other way into an Event Hub than a shared access rule (github.com/MicrosoftDocs/azure-docs
    // issue 119932). Nobody reads its key: the diagnostic setting holds the rule's id.
    disableLocalAuth: false
    authorizationRules: [
      {
        name: sendingRule
        rights: ['Listen', 'Manage', 'Send'] // what Azure Monitor asks for
      }
    ]
    eventhubs: [
      {
        name: eventHub
        partitionCount: 2
        messageRetentionInDays: 7 // an outage of a week loses nothing
      }
    ]
    networkRuleSets: empty(endpointSubnetId) ? null : closed
    privateEndpoints: empty(endpointSubnetId) ? [] : [endpoint]
    enableTelemetry: false
  }
}

@description('Name of the namespace.')
output namespaceName string = namespace.outputs.name

@description('Host name of the namespace.')
output namespaceHost string = '${namespace.outputs.name}.servicebus.windows.net'

@description('Name of the Event Hub.')
output eventHubName string = eventHub

@description('Resource id of the rule by which Azure Monitor sends.')
output sendingRuleId string = '${namespace.outputs.resourceId}/authorizationRules/${sendingRule}'
