// Who may use the shared store: every region's app. Apart from the store, since the apps' settings name its endpoint:
// the store comes before the apps, and this after them.

param storeName string

@description('The apps that read and write it.')
param callers Caller[]

type Caller = { name: string, principalId: string }

// Built-in role Storage Table Data Contributor: rows, and the tables themselves.
var role = '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'

resource store 'Microsoft.Storage/storageAccounts@2025-08-01' existing = {
  name: storeName
}

resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for caller in callers: {
    scope: store
    name: guid(store.id, caller.name, role)
    properties: {
      principalId: caller.principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]
