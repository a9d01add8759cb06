// One resource's address inside one region's network, with its name in that region's DNS zones (network.bicep).

@description('Of the resource that it leads to.')
param name string

param location string
param subnetId string
param targetId string
param kind 'blob' | 'table' | 'openai' | 'foundry'
param tags object

var zonesOf = {
  blob: ['privatelink.blob.${environment().suffixes.storage}']
  table: ['privatelink.table.${environment().suffixes.storage}']
  openai: ['privatelink.openai.azure.com', 'privatelink.cognitiveservices.azure.com']
  foundry: [
    'privatelink.services.ai.azure.com'
    'privatelink.openai.azure.com'
    'privatelink.cognitiveservices.azure.com'
  ]
}
var groupOf = { blob: 'blob', table: 'table', openai: 'account', foundry: 'account' }

resource privateEndpoint 'Microsoft.Network/privateEndpoints@2025-05-01' = {
  name: 'pe-${name}'
  location: location
  tags: tags
  properties: {
    subnet: { id: subnetId }
    privateLinkServiceConnections: [
      { name: name, properties: { privateLinkServiceId: targetId, groupIds: [groupOf[kind]] } }
    ]
  }
}

resource names 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = {
  parent: privateEndpoint
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      for zone in zonesOf[kind]: {
        name: replace(zone, '.', '-')
        properties: { privateDnsZoneId: resourceId('Microsoft.Network/privateDnsZones', zone) }
      }
    ]
  }
}
