// Front Door without its origins: the apps need its id before they exist, and the origins need the apps.

param name string

@description('Makes the host name unique in Azure.')
param token string

param requestsPerMinutePerAddress int
param workspaceId string
param tags object

// Standard is enough: private origins and managed rule sets are what Premium adds, and a managed rule set would refuse
// prompts, which hold SQL, HTML and shell commands by nature.
resource profile 'Microsoft.Cdn/profiles@2025-12-01' = {
  name: 'afd-${name}'
  location: 'global'
  sku: { name: 'Standard_AzureFrontDoor' }
  tags: tags
  properties: {
    originResponseTimeoutSeconds: 240 // the most there is: above the router's own longest wait for a first token
  }
}

resource endpoint 'Microsoft.Cdn/profiles/afdEndpoints@2025-12-01' = {
  parent: profile
  name: '${name}-${token}'
  location: 'global'
  tags: tags
  properties: { enabledState: 'Enabled' }
}

resource firewall 'Microsoft.Network/FrontDoorWebApplicationFirewallPolicies@2025-11-01' = {
  name: 'waf${replace(name, '-', '')}'
  location: 'global'
  sku: { name: 'Standard_AzureFrontDoor' }
  tags: tags
  properties: {
    policySettings: {
      enabledState: 'Enabled'
      mode: 'Prevention'
      requestBodyCheck: 'Disabled' // prompts again: nothing in a body is an attack on us
      customBlockResponseStatusCode: 429
    }
    customRules: {
      rules: [
        {
          name: 'RateLimitPerAddress'
          priority: 100
          ruleType: 'RateLimitRule'
          rateLimitDurationInMinutes: 1
          rateLimitThreshold: requestsPerMinutePerAddress
          groupBy: [{ variableName: 'SocketAddr' }] // the TCP peer; X-Forwarded-For could be forged
          matchConditions: [{ matchVariable: 'RequestUri', operator: 'Contains', matchValue: ['/'] }] // every request
          action: 'Block'
        }
      ]
    }
  }
}

resource protection 'Microsoft.Cdn/profiles/securityPolicies@2025-12-01' = {
  parent: profile
  name: 'firewall'
  properties: {
    parameters: {
      type: 'WebApplicationFirewall'
      wafPolicy: { id: firewall.id }
      associations: [{ domains: [{ id: endpoint.id }], patternsToMatch: ['/*'] }]
    }
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: profile
  name: 'to-workspace'
  properties: {
    workspaceId: workspaceId
    logs: [{ categoryGroup: 'allLogs', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

output profileId string = profile.id
output profileName string = profile.name
output endpointName string = endpoint.name
output hostName string = endpoint.properties.hostName

@description('What X-Azure-FDID says in every request that this Front Door, and no other, sends to an app.')
output frontDoorId string = profile.properties.frontDoorId
