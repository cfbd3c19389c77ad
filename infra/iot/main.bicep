// Hubs and DPS, each created here or long there, in whichever resource group; and the way of their news to the app.
targetScope = 'subscription'

@description('What makes names unique.')
param token string

@description('Resource group of what is created.')
param groupName string

@description('Region of what is created.')
param location string

@description('Tags of what is created.')
param tags object

@description('Resource ids of hubs that are there already, separated by commas; empty: one is created.')
param existingHubIds string

@description('System topics that those hubs have already, by hub name.')
param existingHubTopics object

@description('Name of the hub to create.')
param hubName string

@description('Size of the hub to create.')
param hubSku string

@description('Units of the hub to create.')
param hubUnits int

@description('Resource id of a DPS that is there already; empty: one is created.')
param existingDpsId string

@description('Whether the app calls direct methods.')
param directMethods bool

@description('Object id of the app\'s identity.')
param principalId string

@description('Object id of whoever deploys; empty: nobody.')
param deployerId string

@description('What the one who deploys is.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param deployerType string

@description('Identity by which Event Grid writes dead letters.')
param deliveryIdentityId string

@description('Log Analytics workspace that keeps failures of delivery.')
param logAnalyticsId string

@description('Subnet of the private endpoint of the Event Hub; empty: there is no private network.')
param endpointSubnetId string

var newDpsName = 'provs-${token}'
var devices = '${subscription().id}/resourceGroups/${groupName}/providers/Microsoft.Devices'
var hubIds = empty(existingHubIds) ? ['${devices}/IotHubs/${hubName}'] : split(replace(existingHubIds, ' ', ''), ',')
var hubNames = [for id in hubIds: last(split(id, '/'))]
var dpsId = empty(existingDpsId) ? '${devices}/provisioningServices/${newDpsName}' : existingDpsId

module hub 'br/public:avm/res/devices/iot-hub:0.3.0' = if (empty(existingHubIds)) {
  name: 'hub'
  scope: resourceGroup(groupName)
  params: {
    name: hubName
    location: location
    tags: tags
    skuName: hubSku
    skuCapacity: hubUnits
    publicNetworkAccess: 'Enabled' // devices connect from anywhere
    disableLocalAuth: true // DPS and Birthcert come with identities, devices with certificates
    disableModuleSAS: false // modules of IoT Edge have no certificates; they sign with keys of the device's own
    // The module's default would keep the hub from its own endpoint for telemetry, from routes and from file upload.
    restrictOutboundNetworkAccess: false
    enableTelemetry: false
  }
}

// By this identity a DPS that is created here reaches the hubs: no hub key is stored in it.
module linkIdentity 'br/public:avm/res/managed-identity/user-assigned-identity:0.6.0' = if (empty(existingDpsId)) {
  name: 'link-identity'
  scope: resourceGroup(groupName)
  params: {
    name: 'id-dps-${token}'
    location: location
    tags: tags
    enableTelemetry: false
  }
}

module hubs 'hub-access.bicep' = [
  for (id, i) in hubIds: {
    name: 'hub-access-${i}-${token}'
    scope: resourceGroup(split(id, '/')[2], split(id, '/')[4])
    params: {
      hubName: hubNames[i]
      tags: tags
      principalId: principalId
      directMethods: directMethods
      linkPrincipalId: empty(existingDpsId) ? linkIdentity!.outputs.principalId : ''
      existingTopicName: contains(existingHubTopics, hubNames[i]) ? existingHubTopics[hubNames[i]] : ''
      deliveryIdentityId: deliveryIdentityId
      logAnalyticsId: logAnalyticsId
    }
    dependsOn: [hub]
  }
]

module dps 'dps.bicep' = if (empty(existingDpsId)) {
  name: 'dps'
  scope: resourceGroup(groupName)
  params: {
    name: newDpsName
    location: location
    tags: tags
    linkIdentityId: linkIdentity!.outputs.resourceId
    hubs: [
      for i in range(0, length(hubIds)): { hostName: hubs[i].outputs.hostName, location: hubs[i].outputs.location }
    ]
  }
}

module dpsAccess 'dps-access.bicep' = {
  name: 'dps-access-${token}'
  scope: resourceGroup(split(dpsId, '/')[2], split(dpsId, '/')[4])
  params: {
    dpsName: last(split(dpsId, '/'))
    principalId: principalId
    deployerId: empty(existingDpsId) ? deployerId : '' // who set up a DPS has the role, and Azure refuses a second one
    deployerType: deployerType
  }
  dependsOn: [dps]
}

module dpsLogs 'dps-logs.bicep' = {
  name: 'dps-logs'
  scope: resourceGroup(groupName)
  params: {
    token: token
    location: dpsAccess.outputs.location
    networkLocation: location
    tags: tags
    endpointSubnetId: endpointSubnetId
  }
}

module dpsDiagnostics 'dps-diagnostics.bicep' = {
  name: 'dps-diagnostics-${token}'
  scope: resourceGroup(split(dpsId, '/')[2], split(dpsId, '/')[4])
  params: {
    dpsName: last(split(dpsId, '/'))
    eventHubName: dpsLogs.outputs.eventHubName
    sendingRuleId: dpsLogs.outputs.sendingRuleId
  }
}

@description('Service host name of the DPS.')
output dpsHost string = dpsAccess.outputs.host

@description('Resource id of the DPS.')
output dpsId string = dpsId

@description('What devices send to say which DPS they mean.')
output idScope string = dpsAccess.outputs.idScope

@description('The hubs, each as name=host.')
output hubs array = [for i in range(0, length(hubIds)): '${hubNames[i]}=${hubs[i].outputs.hostName}']

@description('Resource ids of the topics of the hubs\' events.')
output topicIds array = [for i in range(0, length(hubIds)): hubs[i].outputs.topicId]

@description('Name of the Event Hubs namespace.')
output eventHubNamespaceName string = dpsLogs.outputs.namespaceName

@description('Host name of the Event Hubs namespace.')
output eventHubNamespaceHost string = dpsLogs.outputs.namespaceHost

@description('Name of the Event Hub of the DPS records.')
output eventHubName string = dpsLogs.outputs.eventHubName
