// What one region's app reaches from inside its network, beyond its own host storage: the shared store, every model
// account.

param location string
param subnetId string
param store { name: string, id: string }
param accounts Account[]
param tags object

type Account = { name: string, id: string, isClaude: bool }

module tables 'private-endpoint.bicep' = {
  params: {
    name: store.name
    location: location
    subnetId: subnetId
    targetId: store.id
    kind: 'table'
    tags: tags
  }
}

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
