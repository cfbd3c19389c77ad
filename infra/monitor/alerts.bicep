// Log search alerts: each query answers with rows only where something is wrong. docs/operations.md says of each what
// it means and what to do; the section is named like the alert.

@description('Begins the names of all that is made here.')
param namePrefix string

@description('The Log Analytics workspace that Application Insights writes to.')
param workspaceId string

@description('Who is told: resource ids of action groups.')
param actionGroupIds string[]

@description('Region.')
param location string

@description('Tags of everything.')
param tags object

var base = loadTextContent('base.kql')

// Severity 0 is critical, 1 an error, 2 a warning. `window` is what the query looks at, `every` how often.
var alerts = [
  {
    name: 'silence'
    title: 'Timers are silent'
    severity: 0
    window: 'PT30M'
    every: 'PT10M'
    query: loadTextContent('alerts/silence.kql')
  }
  {
    name: 'timers-late'
    title: 'A timer does not come to its end'
    severity: 1
    window: 'P1D'
    every: 'PT1H'
    query: loadTextContent('alerts/timers-late.kql')
  }
  {
    name: 'setup'
    title: 'Settings or credentials are wrong'
    severity: 1
    window: 'PT15M'
    every: 'PT5M'
    query: loadTextContent('alerts/setup.kql')
  }
  {
    name: 'internal-errors'
    title: 'Requests fail by our own mistake'
    severity: 1
    window: 'PT15M'
    every: 'PT5M'
    query: loadTextContent('alerts/internal-errors.kql')
  }
  {
    name: 'circuit-open'
    title: 'Nothing is sent to a host'
    severity: 1
    window: 'PT10M'
    every: 'PT5M'
    query: loadTextContent('alerts/circuit-open.kql')
  }
  {
    name: 'upstream-failing'
    title: 'DigiCert ONE or DPS fails'
    severity: 2
    window: 'PT15M'
    every: 'PT5M'
    query: loadTextContent('alerts/upstream-failing.kql')
  }
  {
    name: 'slow-answers'
    title: 'Devices wait too long'
    severity: 2
    window: 'PT30M'
    every: 'PT10M'
    query: loadTextContent('alerts/slow-answers.kql')
  }
  {
    name: 'sagas-stuck'
    title: 'A block does not reach every system'
    severity: 1
    window: 'PT15M'
    every: 'PT5M'
    query: loadTextContent('alerts/sagas-stuck.kql')
  }
  {
    name: 'rotations-late'
    title: 'Renewed certificates do not reach hubs or DPS'
    severity: 2
    window: 'PT4H'
    every: 'PT30M'
    query: loadTextContent('alerts/rotations-late.kql')
  }
  {
    name: 'queues-late'
    title: 'Work is waiting'
    severity: 2
    window: 'PT15M'
    every: 'PT5M'
    query: loadTextContent('alerts/queues-late.kql')
  }
  {
    name: 'poison-messages'
    title: 'Messages that nobody could handle'
    severity: 2
    window: 'PT30M'
    every: 'PT15M'
    query: loadTextContent('alerts/poison-messages.kql')
  }
  {
    name: 'expiring'
    title: 'Certificates end within three days, or have ended'
    severity: 1
    window: 'P1D'
    every: 'PT1H'
    query: loadTextContent('alerts/expiring.kql')
  }
  {
    name: 'checks-failing'
    title: 'Revocations or trust cannot be checked'
    severity: 1
    window: 'PT2H'
    every: 'PT30M'
    query: loadTextContent('alerts/checks-failing.kql')
  }
  {
    name: 'dps-refuses'
    title: 'DPS refuses devices'
    severity: 1
    window: 'PT1H'
    every: 'PT15M'
    query: loadTextContent('alerts/dps-refuses.kql')
  }
  {
    name: 'guessing'
    title: 'Somebody tries credentials'
    severity: 2
    window: 'PT15M'
    every: 'PT15M'
    query: loadTextContent('alerts/guessing.kql')
  }
]

resource rules 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for alert in alerts: {
    name: '${namePrefix}-${alert.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'Birthcert: ${alert.title}'
      description: 'What it means and what to do: docs/operations.md#${alert.name}'
      severity: alert.severity
      enabled: true
      scopes: [
        workspaceId
      ]
      windowSize: alert.window
      evaluationFrequency: alert.every
      criteria: {
        allOf: [
          {
            query: '${base}\n${alert.query}'
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      autoMitigate: true
      // A new workspace has no AppTraces and no AppMetrics until the app has written the first of them.
      skipQueryValidation: true
      actions: {
        actionGroups: actionGroupIds
      }
    }
  }
]
