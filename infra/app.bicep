// The function app: its plan, its site, its settings. tests/infra compares the settings with what the code reads.

@description('What makes names unique.')
param token string

@description('Region.')
param location string

@description('Tags of everything.')
param tags object

@description('The kind of plan.')
@allowed(['Flex', 'Premium'])
param plan string

@description('Most instances that Flex may start.')
param maximumInstances int

@description('Instances that are always there.')
param warmInstances int

@description('Whether instances are spread over zones.')
param zoneRedundant bool

@description('Resource id of the app\'s identity.')
param identityId string

@description('Client id of the app\'s identity.')
param clientId string

@description('Subnet that the app goes out by; empty: Azure\'s own addresses.')
param subnetId string

@description('Blobs of the Functions host.')
param hostBlobUri string

@description('Where telemetry goes.')
param applicationInsightsConnection string

@description('Key Vault.')
param vaultUrl string

@description('Tables of the ledger.')
param tableUri string

@description('Queues of work.')
param queueUri string

@description('Blobs of the batches\' files.')
param blobUri string

@description('Service host name of the DPS.')
param dpsHost string

@description('The hubs, each as name=host.')
param hubs array

@description('Where lifecycle events are published.')
param topicUrl string

@description('Host name of the Event Hubs namespace.')
param eventHubNamespaceHost string

@description('Event Hub of the DPS records.')
param eventHubName string

@description('The header that carries the client certificate; empty: none is trusted.')
param clientCertificateHeader string

@description('Key Vault secret of the gateway; empty: there is none.')
param frontEndSecretName string

@description('How many devices are asked to renew a minute.')
param nudgesPerMinute int

@description('Rows of batches that go to DigiCert ONE a minute.')
param batchRowsPerMinute int

@description('Megabytes that a batch\'s file may have.')
param batchMegabytes int

@description('Application id by which operators sign in; empty: they do not.')
param operatorsClientId string

// Read by shared/settings.py.
var ownSettings = {
  KEY_VAULT_URL: vaultUrl
  DPS_HOST: dpsHost
  IOT_HUBS: join(hubs, ',')
  EVENT_TOPIC_URL: topicUrl
  AZURE_CLIENT_ID: clientId
  CLIENT_CERTIFICATE_HEADER: clientCertificateHeader
  FRONT_END_SECRET_NAME: frontEndSecretName
  NUDGES_PER_MINUTE: string(nudgesPerMinute)
  BATCH_ROWS_PER_MINUTE: string(batchRowsPerMinute)
  BATCH_MEGABYTES: string(batchMegabytes)
  // True exactly where App Service removes a client's own copy of the header that names the operator.
  PLATFORM_AUTHENTICATES: empty(operatorsClientId) ? 'false' : 'true'
}

// Read by the triggers' connections; the addresses of the ledger by shared/settings.py as well.
var connectionSettings = {
  STORAGE__tableServiceUri: tableUri
  STORAGE__queueServiceUri: queueUri
  STORAGE__blobServiceUri: blobUri
  STORAGE__credential: 'managedidentity'
  STORAGE__clientId: clientId
  DPS_LOGS__fullyQualifiedNamespace: eventHubNamespaceHost
  DPS_LOGS__credential: 'managedidentity'
  DPS_LOGS__clientId: clientId
  DPS_LOGS_EVENT_HUB: eventHubName
}

// Read by the Functions host, and those of Application Insights by shared/settings.py as well.
var hostSettings = {
  AzureWebJobsStorage__blobServiceUri: hostBlobUri
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: clientId
  AzureWebJobsDisableHomepage: 'true' // who asks for / need not learn what runs here
  APPLICATIONINSIGHTS_CONNECTION_STRING: applicationInsightsConnection
  PYTHON_ENABLE_OPENTELEMETRY: 'true' // the worker leaves the logs to the app; else every line arrives twice
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${clientId};Authorization=AAD'
}

// Flex refuses these: it has them in functionAppConfig, or does them by itself.
var premiumSettings = {
  FUNCTIONS_EXTENSION_VERSION: '~4'
  FUNCTIONS_WORKER_RUNTIME: 'python'
  ENABLE_ORYX_BUILD: 'true'
  SCM_DO_BUILD_DURING_DEPLOYMENT: 'true'
}

var secureSite = {
  minTlsVersion: '1.2'
  scmMinTlsVersion: '1.2'
  ftpsState: 'Disabled'
  http20Enabled: false // HTTP/2 knows no client certificate that is asked for after the handshake
}

var premiumSite = {
  alwaysOn: true
  linuxFxVersion: 'PYTHON|3.13'
  healthCheckPath: '/healthz'
}

var flex = {
  runtime: {
    name: 'python'
    version: '3.13'
  }
  deployment: {
    storage: {
      type: 'blobContainer'
      value: '${hostBlobUri}packages'
      authentication: {
        type: 'UserAssignedIdentity'
        userAssignedIdentityResourceId: identityId
      }
    }
  }
  scaleAndConcurrency: {
    instanceMemoryMB: 2048
    maximumInstanceCount: maximumInstances
    alwaysReady: [
      {
        name: 'http'
        instanceCount: warmInstances
      }
    ]
    triggers: {
      http: {
        perInstanceConcurrency: 16 // a request waits on DigiCert ONE, and costs next to no CPU meanwhile
      }
    }
  }
}

var appSettings = {
  name: 'appsettings'
  retainCurrentAppSettings: false // what stands here is all there is
  properties: union(ownSettings, connectionSettings, hostSettings, plan == 'Premium' ? premiumSettings : {})
}

// Devices have no account: App Service asks nobody to sign in, and vouches for those who did.
var operatorsSignIn = {
  name: 'authsettingsV2'
  properties: {
    platform: { enabled: true }
    globalValidation: {
      requireAuthentication: false
      unauthenticatedClientAction: 'AllowAnonymous'
    }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: {
          clientId: operatorsClientId
          openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
        }
        validation: { allowedAudiences: [operatorsClientId, 'api://${operatorsClientId}'] }
      }
    }
  }
}

module farm 'br/public:avm/res/web/serverfarm:0.7.0' = {
  name: 'plan'
  params: {
    name: 'plan-${token}'
    location: location
    tags: tags
    kind: plan == 'Flex' ? 'functionapp' : 'linux'
    reserved: true
    skuName: plan == 'Flex' ? 'FC1' : 'P0v3'
    skuCapacity: plan == 'Flex' ? 0 : warmInstances
    zoneRedundant: zoneRedundant
    enableTelemetry: false
  }
}

module site 'br/public:avm/res/web/site:0.24.0' = {
  name: 'site'
  params: {
    name: 'func-${token}'
    location: location
    tags: union(tags, { 'azd-service-name': 'birthcert' })
    kind: 'functionapp,linux'
    serverFarmResourceId: farm.outputs.resourceId
    managedIdentities: { userAssignedResourceIds: [identityId] }
    httpsOnly: true
    // Optional, and no path left out: Event Grid and DPS come without a certificate, and one excluded path would make
    // the front end ask for certificates by renegotiation, which TLS 1.3 does not have.
    clientCertEnabled: true
    clientCertMode: 'Optional'
    publicNetworkAccess: 'Enabled' // devices, DPS and Event Grid call it
    clientAffinityEnabled: false
    basicPublishingCredentialsPolicies: [
      { name: 'ftp', allow: false }
      { name: 'scm', allow: false }
    ]
    virtualNetworkSubnetResourceId: empty(subnetId) ? null : subnetId
    // Flex sends all its traffic through the subnet anyway.
    outboundVnetRouting: plan == 'Premium' && !empty(subnetId) ? { allTraffic: true } : null
    siteConfig: plan == 'Flex' ? secureSite : union(secureSite, premiumSite)
    functionAppConfig: plan == 'Flex' ? flex : null
    configs: empty(operatorsClientId) ? [appSettings] : [appSettings, operatorsSignIn]
    enableTelemetry: false
  }
}

@description('Name of the app.')
output name string = site.outputs.name

@description('Resource id of the app.')
output id string = site.outputs.resourceId

@description('Address of the app.')
output url string = 'https://${site.outputs.defaultHostname}'

@description('The hubs as the app knows them.')
output hubs string = join(hubs, ',')
