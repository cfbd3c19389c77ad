// Logs and metrics. Application Insights takes them from identities alone, so its address is no secret.

@description('What makes names unique.')
param token string

@description('Region.')
param location string

@description('Tags of everything.')
param tags object

@description('How long logs are kept.')
param retentionDays int

@description('Where alerts go; empty: nowhere yet.')
param operatorEmail string

var operators = {
  name: 'operators'
  emailAddress: operatorEmail
  useCommonAlertSchema: true
}

module workspace 'br/public:avm/res/operational-insights/workspace:0.16.1' = {
  name: 'workspace'
  params: {
    name: 'log-${token}'
    location: location
    tags: tags
    dataRetention: retentionDays
    forceCmkForQuery: false // true would refuse saved queries until a storage account is linked for them
    features: { disableLocalAuth: true }
    enableTelemetry: false
  }
}

module insights 'br/public:avm/res/insights/component:0.8.0' = {
  name: 'insights'
  params: {
    name: 'appi-${token}'
    location: location
    tags: tags
    workspaceResourceId: workspace.outputs.resourceId
    disableLocalAuth: true // only the role Monitoring Metrics Publisher lets anybody write
    // DPS's own log names the addresses that it refuses. Those of EST are kept only where the front end's log is.
    disableIpMasking: false
    enableTelemetry: false
  }
}

module actions 'br/public:avm/res/insights/action-group:0.8.0' = {
  name: 'actions'
  params: {
    name: 'ag-${token}'
    groupShortName: 'birthcert'
    tags: tags
    emailReceivers: empty(operatorEmail) ? [] : [operators]
    enableTelemetry: false
  }
}

@description('Resource id of the Log Analytics workspace.')
output logAnalyticsId string = workspace.outputs.resourceId

@description('Resource id of Application Insights.')
output applicationInsightsId string = insights.outputs.resourceId

@description('Name of Application Insights.')
output applicationInsightsName string = insights.outputs.name

@description('Where telemetry goes: addresses and the id of the component, with which nobody can write.')
output applicationInsightsConnection string = insights.outputs.connectionString

@description('Resource id of the action group that alerts call.')
output actionGroupId string = actions.outputs.resourceId
