extension RunPage {
  /// The colors of curves are those of the plots (Okabe and Ito).
  static let style = """
    :root { color-scheme: light dark; --ink: #1c1c1c; --pale: #666; --line: #ddd; --back: #fff; --box: #f6f6f4 }
    @media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --pale: #a0a0a0; --line: #3a3a3a; --back: #161616; --box: #222 } }
    body { font: 15px/1.45 system-ui, "DejaVu Sans", sans-serif; color: var(--ink); background: var(--back); max-width: 1400px;
      margin: 2em auto; padding: 0 1.2em }
    h1 { font-size: 1.6em; margin: 0 } h2 { font-size: 1.15em; margin: 1.8em 0 .6em }
    .lead, footer, figcaption { color: var(--pale) } footer { margin: 3em 0 1em; font-size: .9em }
    .cards { display: flex; flex-wrap: wrap; gap: .8em; margin: 1.2em 0 }
    .cards div { background: var(--box); padding: .6em 1em; border-radius: 6px } .cards dt { color: var(--pale); font-size: .85em }
    .cards dd { margin: 0; font-size: 1.2em; font-weight: 600 }
    .note { background: #fff3cd; color: #5c4300; padding: .5em .8em; border-radius: 6px }
    .grid-of-curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(360px, 1fr)); gap: 1em 1.4em }
    figure { margin: 0 } figcaption { font-size: .9em; min-height: 1.5em } svg { width: 100%; height: auto; display: block }
    svg text { font-size: 11px; fill: var(--pale) } svg .y { text-anchor: end } svg .x { text-anchor: middle }
    .grid { stroke: var(--line); stroke-width: 1 } .curve { fill: none; stroke: currentColor; stroke-width: 1.8 }
    .faint { opacity: .35; stroke-width: 1 } circle { fill: currentColor } .key { margin-left: .8em } .key b { font-weight: 600 }
    .c0 { color: #0072b2 } .c1 { color: #d55e00 } .c2 { color: #009e73 } .c3 { color: #cc79a7 } .c4 { color: #e69f00 }
    .c5 { color: #56b4e9 } .c6 { color: #777 }
    .wide { overflow-x: auto } table { border-collapse: collapse } th { text-align: left; color: var(--pale); font-weight: 500 }
    td, th { padding: .25em .9em .25em 0; border-bottom: 1px solid var(--line); vertical-align: top; white-space: pre-wrap;
      overflow-wrap: anywhere } .n { text-align: right; font-variant-numeric: tabular-nums }
    .loads td { text-align: center; min-width: 3.2em; padding: .25em; border: 2px solid var(--back) } .loads th { padding-right: 1em }
    pre { background: var(--box); padding: .8em; overflow-x: auto; white-space: pre-wrap } img { max-width: 100% }
    code { background: var(--box); padding: .1em .3em }
    """
}
