// Key Vault: the credentials for DigiCert ONE and the devices' passcodes. Its event tells the app of new versions.

@description('What makes names unique.')
param token string

@description('Region.')
param location string

@description('Tags of everything.')
param tags object

@description('Log Analytics workspace that keeps who read which secret.')
param logAnalyticsId string

@description('Identity by which Event Grid writes dead letters.')
param deliveryIdentityId string

@description('Subnet of the private endpoint; empty: the vault is reached by its public address.')
param endpointSubnetId string

@description('With a private endpoint: the address from which whoever deploys may still write secrets.')
param deployerAddress string

// The zone is made by network.bicep, in this resource group.
var endpoint = {
  subnetResourceId: endpointSubnetId
  tags: tags
  privateDnsZoneGroup: {
    privateDnsZoneGroupConfigs: [
      { privateDnsZoneResourceId: resourceId('Microsoft.Network/privateDnsZones', 'privatelink.vaultcore.azure.net') }
    ]
  }
}
var closed = !empty(endpointSubnetId) && empty(deployerAddress)

module vault 'br/public:avm/res/key-vault/vault:0.14.0' = {
  name: 'key-vault'
  params: {
    name: 'kv-${token}'
    location: location
    tags: tags
    sku: 'standard' // secrets alone are kept here, and no key
    enableRbacAuthorization: true
    enablePurgeProtection: true
    softDeleteRetentionInDays: 90
    enableVaultForDeployment: false
    enableVaultForDiskEncryption: false
    enableVaultForTemplateDeployment: false
    publicNetworkAccess: closed ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'None' // no Azure service reads from it on its own account
      defaultAction: empty(endpointSubnetId) ? 'Allow' : 'Deny'
      ipRules: empty(deployerAddress) ? [] : [{ value: deployerAddress }]
    }
    diagnosticSettings: [{ workspaceResourceId: logAnalyticsId }]
    privateEndpoints: empty(endpointSubnetId) ? [] : [endpoint]
    enableTelemetry: false
  }
}

module topic 'br/public:avm/res/event-grid/system-topic:0.7.0' = {
  name: 'vault-topic'
  params: {
    name: 'evgs-kv-${token}'
    location: location
    tags: tags
    source: vault.outputs.resourceId
    topicType: 'Microsoft.KeyVault.vaults'
    managedIdentities: { userAssignedResourceIds: [deliveryIdentityId] }
    diagnosticSettings: [{ workspaceResourceId: logAnalyticsId }]
    enableTelemetry: false
  }
}

@description('Name of the vault.')
output name string = vault.outputs.name

@description('Address of the vault.')
output url string = vault.outputs.uri

@description('Resource id of its system topic.')
output topicId string = topic.outputs.resourceId
