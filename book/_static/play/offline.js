// A page opened from a file: browsers refuse modules there, and this says so.
addEventListener('error', event => {
  if (event.target.id === 'play-main') document.getElementById('play-offline').hidden = false
}, true)
