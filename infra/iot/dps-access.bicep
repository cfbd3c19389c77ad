// What a DPS needs, created here or long there, in its own resource group: roles. Nothing of the DPS itself changes.

@description('Name of the DPS.')
param dpsName string

@description('Object id of the app\'s identity.')
param principalId string

@description('Object id of whoever deploys; empty: nobody.')
param deployerId string

@description('What the one who deploys is.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param deployerType string

var roles = loadJsonContent('../roles.json')
var definitions = 'Microsoft.Authorization/roleDefinitions'

resource dps 'Microsoft.Devices/provisioningServices@2022-12-12' existing = {
  name: dpsName
}

resource enrollments 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(dps.id, principalId, roles['Device Provisioning Service Data Contributor'])
  scope: dps
  properties: {
    roleDefinitionId: subscriptionResourceId(definitions, roles['Device Provisioning Service Data Contributor'])
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'Keeps the enrollment group on the issuing CAs; writes individual enrollments; reads registrations.'
  }
}

resource setup 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(deployerId)) {
  name: guid(dps.id, deployerId, roles['Device Provisioning Service Data Contributor'])
  scope: dps
  properties: {
    roleDefinitionId: subscriptionResourceId(definitions, roles['Device Provisioning Service Data Contributor'])
    principalId: deployerId
    principalType: deployerType
    description: 'Whoever deploys makes the enrollment group and sets its webhook.'
  }
}

@description('Service host name, for the app.')
output host string = dps.properties.serviceOperationsHostName

@description('What devices send to say which DPS they mean.')
output idScope string = dps.properties.idScope

@description('Region of the DPS.')
output location string = dps.location
