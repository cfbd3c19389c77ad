// The private network, where it is asked for: the app's way out, and the way to what holds secrets and state.
// Hubs, DPS and the app itself stay public: devices come from anywhere, and DPS and Event Grid call the app.

@description('What makes names unique.')
param token string

@description('Region.')
param location string

@description('Tags of everything.')
param tags object

@description('Plan of the app: the two take different delegations.')
@allowed(['Flex', 'Premium'])
param plan string

var zones = [
  'privatelink.blob.${environment().suffixes.storage}'
  'privatelink.queue.${environment().suffixes.storage}'
  'privatelink.table.${environment().suffixes.storage}'
  'privatelink.vaultcore.azure.net'
  'privatelink.servicebus.windows.net'
  'privatelink.eventgrid.azure.net'
]

// One address, which DigiCert ONE may put on its list, and which new networks need to reach the internet at all.
module nat 'br/public:avm/res/network/nat-gateway:2.1.0' = {
  name: 'nat'
  params: {
    name: 'ng-${token}'
    location: location
    tags: tags
    availabilityZone: -1
    publicIPAddresses: [{ name: 'pip-${token}' }]
    enableTelemetry: false
  }
}

module network 'br/public:avm/res/network/virtual-network:0.10.1' = {
  name: 'virtual-network'
  params: {
    name: 'vnet-${token}'
    location: location
    tags: tags
    addressPrefixes: ['10.83.0.0/24']
    subnets: [
      {
        name: 'app'
        addressPrefix: '10.83.0.0/26'
        delegation: plan == 'Flex' ? 'Microsoft.App/environments' : 'Microsoft.Web/serverFarms'
        natGatewayResourceId: nat.outputs.resourceId
        defaultOutboundAccess: false
      }
      {
        name: 'endpoints'
        addressPrefix: '10.83.0.64/27'
        defaultOutboundAccess: false
      }
    ]
    enableTelemetry: false
  }
}

module names 'br/public:avm/res/network/private-dns-zone:0.8.1' = [
  for zone in zones: {
    name: 'zone-${zone}'
    params: {
      name: zone
      tags: tags
      virtualNetworkLinks: [{ virtualNetworkResourceId: network.outputs.resourceId }]
      enableTelemetry: false
    }
  }
]

@description('Subnet that the app goes out by.')
output appSubnetId string = network.outputs.subnetResourceIds[0]

@description('Subnet of the private endpoints.')
output endpointSubnetId string = network.outputs.subnetResourceIds[1]
