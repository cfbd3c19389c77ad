// A Device Provisioning Service. Its hubs stand here, because a deployment without them would take them away.

@description('Name of the DPS.')
param name string

@description('Region.')
param location string

@description('Tags.')
param tags object

@description('Identity by which it reaches the hubs.')
param linkIdentityId string

@description('Its hubs, as objects of hostName and location.')
param hubs array

// No Azure Verified Module exists. This is the first stable version in which a hub is linked by identity, without its
// key; Bicep compilers that do not know it yet say so in a warning (BCP081).
resource dps 'Microsoft.Devices/provisioningServices@2026-11-01' = {
  name: name
  location: location
  tags: tags
  sku: {
    name: 'S1'
    capacity: 1
  }
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${linkIdentityId}': {} }
  }
  properties: {
    allocationPolicy: 'Hashed' // of enrollments that name no other; ours ask the app
    disableLocalAuth: true // the service API takes identities alone; devices come with certificates
    publicNetworkAccess: 'Enabled' // devices register from anywhere
    iotHubs: [
      for hub in hubs: {
        hostName: hub.hostName
        location: hub.location
        authenticationType: 'UserAssigned'
        selectedUserAssignedIdentityResourceId: linkIdentityId
        applyAllocationPolicy: true
        allocationWeight: 1
      }
    ]
  }
}
