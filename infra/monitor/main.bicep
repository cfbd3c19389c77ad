// What operators see in the portal: a query pack under Logs, a workbook under Application Insights, and alerts.
// docs/operations.md is the runbook of each alert.

@description('The Log Analytics workspace that Application Insights writes to.')
param workspaceId string

@description('The Application Insights that the function app sends its telemetry to.')
param applicationInsightsId string

@description('Who is told: resource ids of action groups. Without one, alerts are seen in the portal alone.')
param actionGroupIds string[] = []

@description('System topics whose events the app must get: their resource ids.')
param topicIds string[] = []

@description('Begins the names of all that is made here.')
param namePrefix string = 'birthcert'

@description('Region.')
param location string = resourceGroup().location

@description('Tags of everything.')
param tags object = {}

module queries 'queries.bicep' = {
  name: '${namePrefix}-queries'
  params: {
    name: '${namePrefix}-queries'
    location: location
    tags: tags
  }
}

module workbook 'workbook.bicep' = {
  name: '${namePrefix}-workbook'
  params: {
    displayName: 'Birthcert'
    workspaceId: workspaceId
    applicationInsightsId: applicationInsightsId
    location: location
    tags: tags
  }
}

module alerts 'alerts.bicep' = {
  name: '${namePrefix}-alerts'
  params: {
    namePrefix: namePrefix
    workspaceId: workspaceId
    actionGroupIds: actionGroupIds
    location: location
    tags: tags
  }
}

module topics 'topics.bicep' = [
  for id in topicIds: {
    name: '${namePrefix}-topic-${uniqueString(id)}'
    params: {
      namePrefix: namePrefix
      topicId: id
      actionGroupIds: actionGroupIds
      tags: tags
    }
  }
]

output queryPackId string = queries.outputs.id
output workbookId string = workbook.outputs.id
