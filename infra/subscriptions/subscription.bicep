// An event subscription, from a system topic to a function. What cannot be delivered for a day becomes a dead letter.

@description('Name of the subscription.')
param name string

@description('The system topic.')
param topicName string

@description('Resource id of the function.')
param functionId string

@description('Which events.')
param eventTypes array

@description('Resource id of the storage account of dead letters.')
param deadLetterStorageId string

@description('Identity by which Event Grid writes them.')
param deliveryIdentityId string

module subscription 'br/public:avm/res/event-grid/system-topic/event-subscription:0.1.0' = {
  name: 'subscription-${uniqueString(topicName)}'
  params: {
    name: name
    systemTopicName: topicName
    eventDeliverySchema: 'EventGridSchema'
    destination: {
      endpointType: 'AzureFunction'
      properties: {
        resourceId: functionId
        maxEventsPerBatch: 1
        preferredBatchSizeInKilobytes: 64
      }
    }
    filter: { includedEventTypes: eventTypes }
    retryPolicy: {
      maxDeliveryAttempts: 30 // the most that Event Grid knows, and so is a day
      eventTimeToLiveInMinutes: 1440
    }
    deadLetterWithResourceIdentity: {
      identity: {
        type: 'UserAssigned'
        userAssignedIdentity: deliveryIdentityId
      }
      deadLetterDestination: {
        endpointType: 'StorageBlob'
        properties: {
          resourceId: deadLetterStorageId
          blobContainerName: 'dead-letters'
        }
      }
    }
    enableTelemetry: false
  }
}
