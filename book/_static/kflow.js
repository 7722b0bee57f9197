// What the pages need at run time: scrolling parts that a keyboard reaches, and figures that enlarge.

// A part that scrolls sideways must take the focus, and say what it is.
function reachScrollable () {
  const kinds = [['div.math', 'Formula'], ['.pst-scrollable-table-container', 'Table'], ['div.highlight pre', 'Code'],
    ['.cell_output, .output', 'Output']]
  for (const [selector, name] of kinds) {
    for (const element of document.querySelectorAll(`.bd-article :is(${selector})`)) {
      const scrolls = element.scrollWidth > element.clientWidth + 1
      if (scrolls && !element.hasAttribute('tabindex')) {
        element.tabIndex = 0
        if (!element.hasAttribute('role')) {
          element.setAttribute('role', 'group')
          element.setAttribute('aria-label', `${name}, scrolls sideways`)
        }
      }
    }
  }
}

// One dialog shows any figure as large as the window.
function enlargeFigures () {
  const images = [...document.querySelectorAll('.bd-article figure img')].filter(image => !image.closest('a, button'))
  if (!images.length) return
  const box = document.createElement('dialog')
  box.className = 'kf-lightbox'
  box.setAttribute('aria-label', 'Figure, enlarged')
  const close = document.createElement('button')
  close.type = 'button'
  close.textContent = 'Close'
  close.addEventListener('click', () => box.close())
  const shown = document.createElement('img')
  shown.alt = ''
  box.append(close)
  box.addEventListener('click', event => { if (event.target === box) box.close() })
  document.body.append(box)
  const open = figure => {
    const image = [...figure.querySelectorAll('img')].find(i => i.offsetParent !== null)
    if (!image) return
    shown.src = image.currentSrc || image.src
    shown.alt = image.alt
    box.append(shown)
    box.showModal()
  }
  for (const figure of new Set(images.map(image => image.closest('figure')))) {
    const button = document.createElement('button')
    button.type = 'button'
    button.className = 'kf-enlarge'
    button.textContent = '⤢'
    button.title = 'Enlarge'
    button.setAttribute('aria-label', 'Enlarge the figure')
    button.addEventListener('click', () => open(figure))
    figure.append(button)
    figure.addEventListener('dblclick', () => open(figure))
  }
}

// A formula within a line is a box, after which a line may break: keep the punctuation with it.
function keepPunctuation () {
  for (const formula of document.querySelectorAll('p mjx-container:not([display])')) {
    const after = formula.nextSibling ?? formula.parentNode.nextSibling
    const mark = after?.nodeType === Node.TEXT_NODE && after.data.match(/^[.,;:!?)\u2019]+/)?.[0]
    if (!mark) continue
    const kept = document.createElement('span')
    kept.style.whiteSpace = 'nowrap'
    const box = formula.nextSibling ? formula : formula.parentNode
    box.replaceWith(kept)
    kept.append(box, mark)
    after.data = after.data.slice(mark.length)
  }
}

async function start () {
  enlargeFigures()
  if (window.MathJax?.startup?.promise) await window.MathJax.startup.promise
  keepPunctuation()
  reachScrollable()
  new ResizeObserver(reachScrollable).observe(document.body)
}

if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', start)
else start()
