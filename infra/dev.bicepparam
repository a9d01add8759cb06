// One region, the smallest that works: about 60 US dollars a month besides the tokens (docs/operations.md).
using 'main.bicep'

param environmentName = 'dev'
param regions = ['eastus']
param modelRegions = ['eastus2'] // Claude in Foundry is not in East US

param scale = {
  instanceMemoryMB: 2048
  alwaysReady: 1
  maximumInstances: 40
  perInstanceConcurrency: 100
}

param routerKeys = readEnvironmentVariable('ROUTER_KEYS', '')
param providerKeys = readEnvironmentVariable('ROUTER_PROVIDER_KEYS', '{}')
param claude = readEnvironmentVariable('CLAUDE_ORGANIZATION', '') == '' ? null : {
  organizationName: readEnvironmentVariable('CLAUDE_ORGANIZATION', '')
  countryCode: readEnvironmentVariable('CLAUDE_COUNTRY', '')
  industry: readEnvironmentVariable('CLAUDE_INDUSTRY', '')
}
