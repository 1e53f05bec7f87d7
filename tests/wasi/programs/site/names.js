export const names = new Map([['circle', 'Kreis'], ['box', 'K\u00e4stchen']]);
