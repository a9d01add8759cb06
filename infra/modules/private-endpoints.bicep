// What one region's app reaches from inside its network, beyond its own host storage: every model account.

param location string
param subnetId string
param accounts Account[]
param tags object

type Account = { name: string, id: string, isClaude: bool }

module models 'private-endpoint.bicep' = [
  for account in accounts: {
    params: {
      name: account.name
      location: location
      subnetId: subnetId
      targetId: account.id
      kind: account.isClaude ? 'foundry' : 'openai'
      tags: tags
    }
  }
]
