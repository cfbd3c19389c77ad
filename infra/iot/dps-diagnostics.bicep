// The DPS sends its device operations to the Event Hub: Event Grid has no events of DPS.

@description('Name of the DPS.')
param dpsName string

@description('Name of the Event Hub.')
param eventHubName string

@description('Resource id of the rule by which Azure Monitor sends.')
param sendingRuleId string

resource dps 'Microsoft.Devices/provisioningServices@2022-12-12' existing = {
  name: dpsName
}

// Preview by name only: no stable version of this type takes log categories, and Azure's own templates use this one.
resource records 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'birthcert'
  scope: dps
  properties: {
    eventHubAuthorizationRuleId: sendingRuleId
    eventHubName: eventHubName
    logs: [
      {
        category: 'DeviceOperations'
        enabled: true
      }
    ]
  }
}
