// The queries of an operator's day, in a query pack: portal, Logs, Queries.

@description('Name of the query pack.')
param name string

@description('Region.')
param location string

@description('Tags of everything.')
param tags object

var base = loadTextContent('base.kql')

var queries = [
  {
    name: 'device-life'
    title: 'One device, all its life'
    body: loadTextContent('queries/device-life.kql')
  }
  {
    name: 'enrollments'
    title: 'Enrollments over time'
    body: loadTextContent('queries/enrollments.kql')
  }
  {
    name: 'lifecycle'
    title: 'Issued, renewed, blocked: what has happened'
    body: loadTextContent('queries/lifecycle.kql')
  }
  {
    name: 'batches'
    title: 'Batches'
    body: loadTextContent('queries/batches.kql')
  }
  {
    name: 'refusals'
    title: 'Refusals by reason'
    body: loadTextContent('queries/refusals.kql')
  }
  {
    name: 'refused-devices'
    title: 'Devices that are refused most'
    body: loadTextContent('queries/refused-devices.kql')
  }
  {
    name: 'dps-refusals'
    title: 'Devices that DPS refuses'
    body: loadTextContent('queries/dps-refusals.kql')
  }
  {
    name: 'expiry-histogram'
    title: 'What expires when'
    body: loadTextContent('queries/expiry-histogram.kql')
  }
  {
    name: 'not-renewing'
    title: 'Devices that do not renew'
    body: loadTextContent('queries/not-renewing.kql')
  }
  {
    name: 'nudges'
    title: 'Nudges and what came of them'
    body: loadTextContent('queries/nudges.kql')
  }
  {
    name: 'stuck'
    title: 'Stuck sagas'
    body: loadTextContent('queries/stuck.kql')
  }
  {
    name: 'backlog'
    title: 'Queues, poison and sagas'
    body: loadTextContent('queries/backlog.kql')
  }
  {
    name: 'upstream'
    title: 'DigiCert ONE and DPS: requests and errors'
    body: loadTextContent('queries/upstream.kql')
  }
  {
    name: 'upstream-latency'
    title: 'DigiCert ONE and DPS: seconds'
    body: loadTextContent('queries/upstream-latency.kql')
  }
  {
    name: 'circuits'
    title: 'Open circuits'
    body: loadTextContent('queries/circuits.kql')
  }
  {
    name: 'est-latency'
    title: 'How long devices wait'
    body: loadTextContent('queries/est-latency.kql')
  }
  {
    name: 'slow-flows'
    title: 'Where the time goes'
    body: loadTextContent('queries/slow-flows.kql')
  }
  {
    name: 'deliveries'
    title: 'Events of IoT Hub, DPS and Key Vault'
    body: loadTextContent('queries/deliveries.kql')
  }
  {
    name: 'checks'
    title: 'Revocations and trust: what the checks say'
    body: loadTextContent('queries/checks.kql')
  }
  {
    name: 'operators'
    title: 'Who has done what'
    body: loadTextContent('queries/operators.kql')
  }
  {
    name: 'activity'
    title: 'Activity'
    body: loadTextContent('queries/activity.kql')
  }
  {
    name: 'errors'
    title: 'Errors and their causes'
    body: loadTextContent('queries/errors.kql')
  }
]

resource pack 'Microsoft.OperationalInsights/queryPacks@2025-02-01' = {
  name: name
  location: location
  tags: tags
  properties: {}
}

resource saved 'Microsoft.OperationalInsights/queryPacks/queries@2025-02-01' = [
  for query in queries: {
    parent: pack
    name: guid(pack.id, query.name)
    properties: {
      displayName: 'Birthcert: ${query.title}'
      body: '${base}\n${query.body}'
      related: {
        resourceTypes: [
          'microsoft.insights/components'
          'microsoft.operationalinsights/workspaces'
        ]
      }
      tags: {
        labels: [
          'Birthcert'
        ]
      }
    }
  }
]

output id string = pack.id
