// The workbook: fleet health, expiry, enrollments, refusals, stuck sagas, and one device's life by its id.
// Its queries are those of the query pack; how a chart is drawn stands in the query itself (`render`).

@description('Title of the workbook.')
param displayName string

@description('The Log Analytics workspace that Application Insights writes to.')
param workspaceId string

@description('The Application Insights that the function app sends its telemetry to.')
param applicationInsightsId string

@description('Region.')
param location string

@description('Tags of everything.')
param tags object

var base = loadTextContent('base.kql')

// The device of the query pack's example gives way to the workbook's own field.
var life = replace(loadTextContent('queries/device-life.kql'), 'DEVICE-ID', '{Device}')

var sections = [
  {
    title: 'Fleet health'
    text: 'Anything but small numbers here is worth a look. Alerts and what to do about them: docs/operations.md.'
    charts: [
      {
        title: 'What has happened'
        width: '50'
        query: loadTextContent('queries/lifecycle.kql')
      }
      {
        title: 'Seconds of a request to DigiCert ONE and DPS'
        width: '50'
        query: loadTextContent('queries/upstream-latency.kql')
      }
      {
        title: 'Requests to DigiCert ONE and DPS'
        width: '50'
        query: loadTextContent('queries/upstream.kql')
      }
      {
        title: 'Open circuits'
        width: '50'
        query: loadTextContent('queries/circuits.kql')
      }
      {
        title: 'Queues, poison and sagas'
        width: '50'
        query: loadTextContent('queries/backlog.kql')
      }
      {
        title: 'Revocations and trust: what the checks say'
        width: '50'
        query: loadTextContent('queries/checks.kql')
      }
    ]
  }
  {
    title: 'Certificates'
    text: 'The census counts four times a day. Who is near the end is asked to renew, louder and louder.'
    charts: [
      {
        title: 'Certificates in use, by the days that are left'
        width: '50'
        query: loadTextContent('queries/expiry-histogram.kql')
      }
      {
        title: 'Devices that do not renew'
        width: '50'
        query: loadTextContent('queries/not-renewing.kql')
      }
    ]
  }
  {
    title: 'Enrollments'
    text: 'What devices asked for over EST, how long they waited, and why they were refused.'
    charts: [
      {
        title: 'Enrollments over time'
        width: '50'
        query: loadTextContent('queries/enrollments.kql')
      }
      {
        title: 'How long devices wait, in milliseconds'
        width: '50'
        query: loadTextContent('queries/est-latency.kql')
      }
      {
        title: 'Refusals by reason'
        width: '50'
        query: loadTextContent('queries/refusals.kql')
      }
      {
        title: 'Devices that are refused most'
        width: '50'
        query: loadTextContent('queries/refused-devices.kql')
      }
      {
        title: 'Devices that DPS refuses'
        width: '100'
        query: loadTextContent('queries/dps-refusals.kql')
      }
    ]
  }
  {
    title: 'Stuck sagas'
    text: 'A block that has not reached every system is tried again for ever; the cause says what it waits for.'
    charts: [
      {
        title: 'Stuck sagas and events'
        width: '100'
        query: loadTextContent('queries/stuck.kql')
      }
    ]
  }
  {
    title: 'One device'
    text: 'All that the log holds of the device whose id stands in the field above, in order.'
    charts: [
      {
        title: 'The life of {Device}'
        width: '100'
        query: life
      }
    ]
  }
]

var parameters = {
  type: 9
  name: 'parameters'
  content: {
    version: 'KqlParameterItem/1.0'
    style: 'pills'
    queryType: 0
    resourceType: 'microsoft.operationalinsights/workspaces'
    parameters: [
      {
        id: guid(workspaceId, 'Range')
        version: 'KqlParameterItem/1.0'
        name: 'Range'
        label: 'Time range'
        type: 4
        isRequired: true
        value: {
          durationMs: 86400000
        }
        typeSettings: {
          selectableValues: [
            { durationMs: 3600000 }
            { durationMs: 14400000 }
            { durationMs: 86400000 }
            { durationMs: 604800000 }
            { durationMs: 2592000000 }
            { durationMs: 7776000000 }
          ]
          allowCustom: true
        }
      }
      {
        id: guid(workspaceId, 'Device')
        version: 'KqlParameterItem/1.0'
        name: 'Device'
        label: 'Device id'
        type: 1
        value: ''
      }
    ]
  }
}

var groups = map(sections, section => {
  type: 12
  name: section.title
  content: {
    version: 'NotebookGroup/1.0'
    groupType: 'editable'
    title: section.title
    expandable: true
    expanded: true
    items: concat(
      [
        {
          type: 1
          name: '${section.title}, text'
          content: {
            json: section.text
          }
        }
      ],
      map(section.charts, chart => {
        type: 3
        name: chart.title
        customWidth: chart.width
        content: {
          version: 'KqlItem/1.0'
          title: chart.title
          query: '${base}\n${chart.query}'
          size: 0
          timeContextFromParameter: 'Range'
          showExportToExcel: true
          queryType: 0
          resourceType: 'microsoft.operationalinsights/workspaces'
          crossComponentResources: [
            workspaceId
          ]
        }
      })
    )
  }
})

var notebook = {
  version: 'Notebook/1.0'
  items: concat([parameters], groups)
  fallbackResourceIds: [
    workspaceId
  ]
}

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(applicationInsightsId, displayName)
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: displayName
    category: 'workbook'
    sourceId: applicationInsightsId
    version: 'Notebook/1.0'
    serializedData: string(notebook)
  }
}

output id string = workbook.id
