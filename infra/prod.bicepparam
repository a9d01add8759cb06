// Three regions on two continents, storage and models in closed networks (costs: docs/operations.md).
using 'main.bicep'

param environmentName = 'prod'
param regions = ['eastus', 'westus', 'swedencentral']
param modelRegions = ['eastus2'] // Claude in Foundry is not in East US

param scale = {
  instanceMemoryMB: 2048
  alwaysReady: 2 // two, so that the loss of one is not the loss of the region
  maximumInstances: 100
  perInstanceConcurrency: 100
}

param privateNetworking = true
param storeSku = 'Standard_ZRS' // without the region of the store, routers go on alone: see docs/operations.md
param requestsPerMinutePerAddress = 30000 // callers are servers: many users share one address

param alertEmails = filter(split(readEnvironmentVariable('ALERT_EMAILS', ''), ','), address => !empty(address))
param routerKeys = readEnvironmentVariable('ROUTER_KEYS', '')
param providerKeys = readEnvironmentVariable('ROUTER_PROVIDER_KEYS', '{}')
param claude = readEnvironmentVariable('CLAUDE_ORGANIZATION', '') == '' ? null : {
  organizationName: readEnvironmentVariable('CLAUDE_ORGANIZATION', '')
  countryCode: readEnvironmentVariable('CLAUDE_COUNTRY', '')
  industry: readEnvironmentVariable('CLAUDE_INDUSTRY', '')
}
