// Metric alerts on one Event Grid system topic: events that did not reach the app. Event Grid tells of them by metrics,
// not in the logs that the other alerts ask. docs/operations.md has a section for each, named like the alert.

@description('Begins the names of all that is made here.')
param namePrefix string

@description('Resource id of the system topic.')
param topicId string

@description('Who is told: resource ids of action groups.')
param actionGroupIds string[]

@description('Tags of everything.')
param tags object

var alerts = [
  {
    name: 'dead-letters'
    title: 'Events lie in the container dead-letters'
    metric: 'DeadLetteredCount'
  }
  {
    name: 'events-dropped'
    title: 'Events are lost'
    metric: 'DroppedEventCount'
  }
]

resource rules 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for alert in alerts: {
    name: '${namePrefix}-${alert.name}-${last(split(topicId, '/'))}'
    location: 'global'
    tags: tags
    properties: {
      description: 'Birthcert: ${alert.title}. What to do: docs/operations.md#${alert.name}'
      severity: 1
      enabled: true
      scopes: [
        topicId
      ]
      windowSize: 'PT15M'
      evaluationFrequency: 'PT5M'
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            criterionType: 'StaticThresholdCriterion'
            name: 'any'
            metricNamespace: 'Microsoft.EventGrid/systemTopics'
            metricName: alert.metric
            timeAggregation: 'Total'
            operator: 'GreaterThan'
            threshold: 0
          }
        ]
      }
      autoMitigate: true
      actions: [for id in actionGroupIds: { actionGroupId: id }]
    }
  }
]
