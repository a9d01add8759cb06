// For `azd up`: one region, the one that azd asks for. `make deploy` uses dev.bicepparam and prod.bicepparam.
using 'main.bicep'

param environmentName = take(readEnvironmentVariable('AZURE_ENV_NAME', 'dev'), 8)
param regions = [readEnvironmentVariable('AZURE_LOCATION', 'eastus')]

param scale = {
  instanceMemoryMB: 2048
  alwaysReady: 1
  maximumInstances: 40
  perInstanceConcurrency: 100
}

param routerKeys = readEnvironmentVariable('ROUTER_KEYS', '')
param providerKeys = readEnvironmentVariable('ROUTER_PROVIDER_KEYS', '{}')
