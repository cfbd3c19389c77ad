// What a hub needs, created here or long there, in the hub's own resource group: roles, and the topic of its events.
// Nothing of the hub itself is changed.

@description('Name of the hub.')
param hubName string

@description('Tags of what is created.')
param tags object

@description('Object id of the app\'s identity.')
param principalId string

@description('Whether the app calls direct methods.')
param directMethods bool

@description('Object id of the identity by which a DPS that is created here reaches the hub; empty: none is.')
param linkPrincipalId string

@description('The system topic that the hub has already; empty: it has none, and is given one.')
param existingTopicName string

@description('Identity by which Event Grid writes dead letters.')
param deliveryIdentityId string

@description('Log Analytics workspace that keeps failures of delivery.')
param logAnalyticsId string

var roles = loadJsonContent('../roles.json')
var definitions = 'Microsoft.Authorization/roleDefinitions'
var topicName = empty(existingTopicName) ? 'evgs-${take(hubName, 45)}' : existingTopicName // Event Grid takes 50

resource hub 'Microsoft.Devices/IotHubs@2023-06-30' existing = {
  name: hubName
}

resource registry 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!directMethods) {
  name: guid(hub.id, principalId, roles['IoT Hub Registry Contributor'])
  scope: hub
  properties: {
    roleDefinitionId: subscriptionResourceId(definitions, roles['IoT Hub Registry Contributor'])
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'Writes a renewed certificate\'s thumbprint beside the old one; disables and removes blocked devices.'
  }
}

resource twins 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!directMethods) {
  name: guid(hub.id, principalId, roles['IoT Hub Twin Contributor'])
  scope: hub
  properties: {
    roleDefinitionId: subscriptionResourceId(definitions, roles['IoT Hub Twin Contributor'])
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'Writes the tag and the desired property "certificate"; reads the serial that the device reports.'
  }
}

// Azure has no role for direct methods alone: this one holds the two above, and more.
resource methods 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (directMethods) {
  name: guid(hub.id, principalId, roles['IoT Hub Data Contributor'])
  scope: hub
  properties: {
    roleDefinitionId: subscriptionResourceId(definitions, roles['IoT Hub Data Contributor'])
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'Registry and twins, and the direct method by which a profile asks a device to renew.'
  }
}

// DPS needs what its linked policy had: RegistryWrite and ServiceConnect (learn.microsoft.com/azure/iot-dps/
// how-to-manage-linked-iot-hubs). Microsoft does not say which role is enough; this one holds both.
resource link 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(linkPrincipalId)) {
  name: guid(hub.id, linkPrincipalId, roles['IoT Hub Data Contributor'])
  scope: hub
  properties: {
    roleDefinitionId: subscriptionResourceId(definitions, roles['IoT Hub Data Contributor'])
    principalId: linkPrincipalId
    principalType: 'ServicePrincipal'
    description: 'DPS writes registered devices and their twins into the hub.'
  }
}

module topic 'br/public:avm/res/event-grid/system-topic:0.7.0' = if (empty(existingTopicName)) {
  name: 'topic-${uniqueString(hubName)}'
  params: {
    name: topicName
    location: hub.location // Event Grid takes a topic only where its source is
    tags: tags
    source: hub.id
    topicType: 'Microsoft.Devices.IoTHubs'
    managedIdentities: { userAssignedResourceIds: [deliveryIdentityId] }
    diagnosticSettings: [{ workspaceResourceId: logAnalyticsId }]
    enableTelemetry: false
  }
}

@description('Host name of the hub.')
output hostName string = hub.properties.hostName

@description('Region of the hub.')
output location string = hub.location

@description('Resource id of the topic of its events.')
output topicId string = resourceId('Microsoft.EventGrid/systemTopics', topicName)
