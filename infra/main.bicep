// The whole deployment, from one fleet file. Read from top to bottom: what may be asked for, what follows from the
// fleet, then the resources in the order in which they need each other.
//
//   one shared group     watch (logs) · edge (Front Door, its firewall) · store (what regions share) · alerts
//                        origins (Front Door's way to the apps)
//   one group a region   region (identity, host storage, plan, app, network) · models (the accounts in it) · links
//
// A request: caller → Front Door → the nearest region's app → a model account in any region. Nothing holds a key:
// every arrow behind Front Door is Entra ID with the app's own identity, and a role is granted beside what it opens.
targetScope = 'subscription'

// ---- What may be asked for ----

@description('Short name of the environment; part of every name.')
@minLength(2)
@maxLength(8)
param environmentName string

@description('Regions that run the router and hold models, by fleet.json\'s names. The first holds what is shared.')
@minLength(1)
param regions string[]

@description('Regions that hold models and run no router: for models that none of the regions above has.')
param modelRegions string[] = []

@description('Regions that stay up but get no traffic from Front Door: for maintenance and incidents.')
param drained string[] = []

@description('Whether Azure OpenAI accounts are created from the fleet. Off: bring your own by ownEndpoints.')
param createOpenAi bool = true

@description('Who buys Claude: Azure Marketplace asks. Naming a buyer accepts the offer; null creates no Claude.')
param claude ClaudeBuyer?

@description('Endpoints of accounts that exist already, by the fleet\'s resource name. They win over created ones.')
param ownEndpoints { *: string } = {}

@description('Private endpoints for storage and models, and a virtual network in each region.')
param privateNetworking bool = false

@description('Copies of the shared store. ZRS: in zones, where a region has them. RAGRS, RAGZRS: in its pair too.')
param storeSku 'Standard_LRS' | 'Standard_ZRS' | 'Standard_RAGRS' | 'Standard_RAGZRS' = 'Standard_LRS'

param scale Scale
param tuning Tuning = {}

@description('Requests a minute that one client address may make before the firewall answers 429.')
@minValue(100)
param requestsPerMinutePerAddress int = 6000

@description('Who is told of alerts. None: the alerts exist and tell nobody.')
param alertEmails string[] = []

@description('Callers\' keys as the app wants them: NAME:SHA256,NAME:SHA256. Empty: the app answers 401 to everybody.')
@secure()
param routerKeys string = ''

@description('API keys of providers outside Azure, a JSON object by resource, or a Key Vault reference to one.')
@secure()
param providerKeys string = '{}'

@description('Models that retire by this day are no longer created.')
param today string = utcNow('yyyy-MM-dd')

@description('One app in one region. perInstanceConcurrency follows from the memory: see modules/region.bicep.')
type Scale = {
  instanceMemoryMB: 2048 | 4096
  @description('Instances that wait for HTTP requests, paid for whether they come or not.')
  alwaysReady: int
  maximumInstances: int
  perInstanceConcurrency: int
}

@description('How the router chooses. What is left out is the code\'s default: routing/settings.py.')
type Tuning = {
  policy: string?
  stickinessMs: int?
}

type ClaudeBuyer = {
  organizationName: string
  @description('ISO 3166, two letters.')
  @minLength(2)
  @maxLength(2)
  countryCode: string
  @description('In lower case: technology, finance, healthcare, education, retail and so on.')
  @minLength(2)
  industry: string
}

// ---- What follows from the fleet ----

var fleet = loadJsonContent('../fleet.json')
var token = take(uniqueString(subscription().subscriptionId, environmentName), 6)
var tags = { application: 'latency-router', environment: environmentName, 'azd-env-name': environmentName }
var appNames = [for region in regions: 'router-${environmentName}-${region}-${token}']

// Deployments to create: marked so in the fleet, in a chosen region, of a vendor that is wanted, of a model that lives.
var vendors = concat(createOpenAi ? ['azure_openai'] : [], claude == null ? [] : ['claude_foundry'])
var retired = map(filter(fleet.models, model => (model.?retires ?? '9999-12-31') <= today), model => model.id)
var chosen = concat(regions, modelRegions)
var marked = filter(fleet.deployments, d => (d.?provision ?? false) && contains(chosen, d.region))
var deployments = filter(marked, d => contains(vendors, d.provider) && !contains(retired, d.model))

// Regions that get a group of their own: those with an app, in their order, then those with models only.
var places = union(regions, map(deployments, d => d.region))

// Their accounts: one for each `resource`. union() with nothing leaves each name once.
var accounts = [
  for resourceName in union(map(deployments, d => d.resource), []): {
    resource: resourceName
    name: '${resourceName}-${token}'
    region: first(filter(deployments, d => d.resource == resourceName))!.region
    isClaude: first(filter(deployments, d => d.resource == resourceName))!.provider == 'claude_foundry'
    deployments: map(filter(deployments, d => d.resource == resourceName), d => {
      name: d.?name ?? d.model
      model: d.model
      version: first(filter(fleet.models, model => model.id == d.model))!.?version ?? ''
      type: d.type
      tokensPerMinute: d.tokens_per_minute
    })
  }
]
var createdEndpoints = toObject(
  accounts,
  account => account.resource,
  account => account.isClaude
    ? 'https://${account.name}.services.ai.azure.com'
    : 'https://${account.name}.openai.azure.com'
)

// ---- The resources ----

resource sharedGroup 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-latency-router-${environmentName}'
  location: regions[0]
  tags: tags
}

resource regionGroups 'Microsoft.Resources/resourceGroups@2025-04-01' = [
  for place in places: {
    name: 'rg-latency-router-${environmentName}-${place}'
    location: place
    tags: tags
  }
]

module watch 'modules/watch.bicep' = {
  scope: sharedGroup
  params: {
    name: 'log-latency-router-${environmentName}'
    location: regions[0]
    tags: tags
  }
}

module edge 'modules/edge.bicep' = {
  scope: sharedGroup
  params: {
    name: 'router-${environmentName}'
    token: token
    requestsPerMinutePerAddress: requestsPerMinutePerAddress
    workspaceId: watch.outputs.workspaceId
    tags: tags
  }
}

module store 'modules/store.bicep' = {
  scope: sharedGroup
  params: {
    name: 'store${token}'
    location: regions[0]
    sku: storeSku
    isPrivate: privateNetworking
    workspaceId: watch.outputs.workspaceId
    tags: tags
  }
}

module apps 'modules/region.bicep' = [
  for (region, i) in regions: {
    scope: regionGroups[i]
    params: {
      appName: appNames[i]
      storageName: take('host${token}${region}', 24)
      location: region
      scale: scale
      networkPrefix: privateNetworking ? '10.${i}' : null
      frontDoorId: edge.outputs.frontDoorId
      workspaceId: watch.outputs.workspaceId
      endpoints: union(createdEndpoints, ownEndpoints)
      storeEndpoint: store.outputs.tableEndpoint
      tuning: tuning
      routerKeys: routerKeys
      providerKeys: providerKeys
      tags: union(tags, { 'azd-service-name': 'router-${region}' })
    }
  }
]

module storeAccess 'modules/store-access.bicep' = {
  scope: sharedGroup
  params: {
    storeName: store.outputs.name
    callers: [for (region, i) in regions: { name: region, principalId: apps[i].outputs.principalId }]
  }
}

module models 'modules/models.bicep' = [
  for account in accounts: {
    scope: regionGroups[indexOf(places, account.region)]
    params: {
      name: account.name
      location: account.region
      isClaude: account.isClaude
      claude: claude
      deployments: account.deployments
      callers: [for (region, i) in regions: { name: region, principalId: apps[i].outputs.principalId }]
      isPrivate: privateNetworking
      workspaceId: watch.outputs.workspaceId
      tags: tags
    }
  }
]

// Every region reaches the store and every model account, near or far, from inside its own network. Region by region:
// an account refuses a second private endpoint while the first is being made.
@batchSize(1)
module links 'modules/private-endpoints.bicep' = [
  for (region, i) in regions: if (privateNetworking) {
    scope: regionGroups[i]
    params: {
      location: region
      subnetId: apps[i].outputs.endpointsSubnetId
      store: { name: store.outputs.name, id: store.outputs.id }
      accounts: [
        for (account, j) in accounts: { name: account.name, id: models[j].outputs.id, isClaude: account.isClaude }
      ]
      tags: tags
    }
  }
]

module origins 'modules/origins.bicep' = {
  scope: sharedGroup
  params: {
    profileName: edge.outputs.profileName
    endpointName: edge.outputs.endpointName
    apps: [
      for (region, i) in regions: {
        region: region
        hostName: apps[i].outputs.hostName
        receivesTraffic: !contains(drained, region)
      }
    ]
  }
}

module alerts 'modules/alerts.bicep' = {
  scope: sharedGroup
  params: {
    location: regions[0]
    appNames: appNames
    workspaceId: watch.outputs.workspaceId
    frontDoorProfileId: edge.outputs.profileId
    emails: alertEmails
    tags: tags
  }
}

// ---- What the deploy program and azd read ----

@description('Where callers go.')
output routerUrl string = 'https://${edge.outputs.hostName}'

@description('The apps to publish to, in order, each with the address that always reaches this region.')
output routerApps { region: string, name: string, url: string }[] = [
  for (region, i) in regions: {
    region: region
    name: appNames[i]
    url: 'https://${edge.outputs.hostName}/regions/${region}'
  }
]
