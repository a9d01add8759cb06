// One model account and its deployments: Azure OpenAI, or Claude in Foundry.

@description('Also the subdomain: Entra ID works only on an account that has one of its own.')
param name string

param location string
param isClaude bool
param claude ClaudeBuyer?
param deployments Deployment[]

@description('The apps that may ask the models.')
param callers Caller[]

param isPrivate bool
param workspaceId string
param tags object

type Caller = { name: string, principalId: string }
type ClaudeBuyer = { organizationName: string, countryCode: string, industry: string }
type Deployment = {
  name: string
  model: string
  version: string
  type: 'Standard' | 'DataZoneStandard' | 'GlobalStandard'
  tokensPerMinute: int
}

// Built-in roles: Cognitive Services User for Foundry's Messages API, Cognitive Services OpenAI User for OpenAI's.
var role = isClaude ? 'a97b65f3-24c7-4388-baec-2e87135dc908' : '5e0bd9bd-7b93-4f28-af87-19fc36ad61bd'

resource account 'Microsoft.CognitiveServices/accounts@2026-07-01' = {
  name: name
  location: location
  kind: isClaude ? 'AIServices' : 'OpenAI'
  sku: { name: 'S0' }
  identity: { type: 'SystemAssigned' }
  tags: tags
  properties: {
    customSubDomainName: name
    disableLocalAuth: true
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    networkAcls: { defaultAction: isPrivate ? 'Deny' : 'Allow' }
  }
}

// One at a time: Azure refuses a second change of an account while the first goes on.
@batchSize(1)
resource openAi 'Microsoft.CognitiveServices/accounts/deployments@2026-07-01' = [
  for deployment in (isClaude ? [] : deployments): {
    parent: account
    name: deployment.name
    sku: {
      name: deployment.type
      capacity: deployment.tokensPerMinute / 1000 // quota is counted in thousands of tokens a minute
    }
    properties: {
      model: { format: 'OpenAI', name: deployment.model, version: deployment.version }
      versionUpgradeOption: 'OnceCurrentVersionExpired' // a new version has another latency: not before it must come
    }
  }
]

@batchSize(1)
resource anthropic 'Microsoft.CognitiveServices/accounts/deployments@2026-07-01' = [
  for deployment in (isClaude ? deployments : []): {
    parent: account
    name: deployment.name
    sku: {
      name: deployment.type
      capacity: deployment.tokensPerMinute / 1000
    }
    properties: {
      // Without a version Azure takes its default, the one that it hosts itself.
      model: {
        format: 'Anthropic'
        name: deployment.model
        version: empty(deployment.version) ? null : deployment.version
      }
      versionUpgradeOption: 'OnceCurrentVersionExpired'
      // Azure refuses the deployment without it (InvalidModelProviderData), but its published types do not have it.
      #disable-next-line BCP037
      modelProviderData: claude
    }
  }
]

resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for caller in callers: {
    scope: account
    name: guid(account.id, caller.name, role)
    properties: {
      principalId: caller.principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

// Who did what to the account, and its metrics. No bodies: Azure logs none in these categories.
resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: account
  name: 'to-workspace'
  properties: {
    workspaceId: workspaceId
    logs: [{ categoryGroup: 'audit', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

output id string = account.id
