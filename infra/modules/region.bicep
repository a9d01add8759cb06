// One region: the function app and all that is its own. A region needs nothing of another region's to answer, and the
// shared store only to learn from others.

param appName string
param storageName string
param location string
param scale Scale

@description('First two parts of the network\'s addresses, as 10.0; null: no network of its own.')
param networkPrefix string?

@description('The Front Door that alone may reach the app.')
param frontDoorId string

param workspaceId string

@description('Where the models are: URL by the fleet\'s resource name.')
param endpoints { *: string }

@description('Table endpoint of the store that all regions share.')
param storeEndpoint string

param tuning Tuning

@secure()
param routerKeys string

@secure()
param providerKeys string

param tags object

// perInstanceConcurrency: Flex defaults to 1 for Python, which would start an instance for each open stream.
// Memory of a 2,048 MB instance, in MB: 400 the Functions host, 250 the Python worker with both SDKs, 256 request
// bodies at once, 0.05 each open stream (measured: 36 to 50 kB), so 100 streams take 5: 911 of 2,048, the rest is for
// bursts. The one core of such an instance relays about 30,000 tokens a second, 100 streams bring about 5,000.
// 512 MB would not hold the first three, so it is not among the sizes.
type Scale = {
  instanceMemoryMB: 2048 | 4096
  alwaysReady: int
  maximumInstances: int
  perInstanceConcurrency: int
}

type Tuning = {
  policy: string?
  stickinessMs: int?
}

var isPrivate = networkPrefix != null
var packages = 'packages'

// ---- Who the app is, and what it may ----

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${appName}'
  location: location
  tags: tags
}

module host 'host-storage.bicep' = {
  params: {
    name: storageName
    location: location
    container: packages
    appName: appName
    principalId: identity.properties.principalId
    isPrivate: isPrivate
    workspaceId: workspaceId
    tags: tags
  }
}

// Built-in role Monitoring Metrics Publisher: all that sending telemetry needs.
var telemetryRole = '3913510d-42f4-4e42-8a64-420c390055eb'

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-${appName}'
  location: location
  kind: 'web'
  tags: tags
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspaceId
    DisableLocalAuth: true
  }
}

resource telemetryAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: insights
  name: guid(insights.id, appName, telemetryRole)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', telemetryRole)
  }
}

module network 'network.bicep' = if (isPrivate) {
  params: {
    name: 'vnet-${appName}'
    location: location
    prefix: networkPrefix!
    tags: tags
  }
}

module hostLink 'private-endpoint.bicep' = if (isPrivate) {
  params: {
    name: storageName
    location: location
    subnetId: network!.outputs.endpointsSubnetId
    targetId: host.outputs.id
    kind: 'blob'
    tags: tags
  }
}

// ---- The app ----

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: 'plan-${appName}'
  location: location
  kind: 'functionapp'
  sku: { tier: 'FlexConsumption', name: 'FC1' }
  tags: tags
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: appName
  location: location
  kind: 'functionapp,linux'
  tags: tags
  dependsOn: [hostLink] // with a network: no host without its storage
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identity.id}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    clientAffinityEnabled: false
    keyVaultReferenceIdentity: identity.id // for ROUTER_PROVIDER_KEYS, if it is kept in a vault
    virtualNetworkSubnetId: isPrivate ? network!.outputs.appSubnetId : null
    functionAppConfig: {
      runtime: { name: 'python', version: '3.13' }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${host.outputs.blobEndpoint}${packages}'
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identity.id }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: scale.instanceMemoryMB
        maximumInstanceCount: scale.maximumInstances
        alwaysReady: [{ name: 'http', instanceCount: scale.alwaysReady }] // the timers have instances of their own
        triggers: { http: { perInstanceConcurrency: scale.perInstanceConcurrency } }
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
      // Only this Front Door: the service tag alone would let in anybody's. The app checks the header once more.
      ipSecurityRestrictionsDefaultAction: 'Deny'
      ipSecurityRestrictions: [
        {
          name: 'this-front-door'
          priority: 100
          action: 'Allow'
          tag: 'ServiceTag'
          ipAddress: 'AzureFrontDoor.Backend'
          headers: { 'x-azure-fdid': [frontDoorId] }
        }
      ]
      // The deployment site stays reachable, or nothing could be published. It takes Entra ID only: see below.
      scmIpSecurityRestrictionsUseMain: false
      scmIpSecurityRestrictionsDefaultAction: 'Allow'
    }
  }
}

// Everything that routing/settings.py reads in Azure, and nothing else: a test compares the two.
var routerSettings = {
  AZURE_CLIENT_ID: identity.properties.clientId
  ROUTER_ENDPOINTS: string(endpoints)
  ROUTER_FRONT_DOOR_ID: frontDoorId
  ROUTER_KEYS: routerKeys
  ROUTER_POLICY: tuning.?policy ?? ''
  ROUTER_PROVIDER_KEYS: providerKeys
  ROUTER_REGION: location
  ROUTER_STICKINESS_MS: string(tuning.?stickinessMs ?? '')
  ROUTER_STORE_ACCOUNT: storeEndpoint // by identity; ROUTER_STORE_CONNECTION holds a key and is never set here
}

// What the Functions host reads. Flex takes runtime, version and package from functionAppConfig: their old settings
// (FUNCTIONS_WORKER_RUNTIME and so on) must not be here.
var hostSettings = {
  AzureWebJobsStorage__accountName: storageName
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identity.properties.clientId
  APPLICATIONINSIGHTS_CONNECTION_STRING: insights.properties.ConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.properties.clientId};Authorization=AAD'
}

resource settings 'Microsoft.Web/sites/config@2025-03-01' = {
  parent: app
  name: 'appsettings'
  properties: union(hostSettings, routerSettings)
}

// No user name and password for publishing, neither by FTP nor by the deployment site.
resource noPasswords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = [
  for way in ['ftp', 'scm']: {
    parent: app
    name: way
    properties: { allow: false }
  }
]

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: app
  name: 'to-workspace'
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'FunctionAppLogs', enabled: true }] // the host's own: there when Application Insights is not
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

output hostName string = app.properties.defaultHostName
output principalId string = identity.properties.principalId

@description('Empty without a network.')
output endpointsSubnetId string = isPrivate ? network!.outputs.endpointsSubnetId : ''
