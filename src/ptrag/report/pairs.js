// The page of a single pair: search, tables and drawings of the data that the report carries.
(function () {
  "use strict";
  var store = document.getElementById("pair-data");
  if (!store) return;
  var data = JSON.parse(store.textContent);
  var box = document.getElementById("pair-search");
  var hits = document.getElementById("pair-hits");
  var page = document.getElementById("pair-page");
  var TOP = 12, SHOWN = 24;
  var MINUS = "\u2212";

  // --- packed numbers ---------------------------------------------------------------------
  function bytes(text) {
    return Uint8Array.from(atob(text), function (c) { return c.charCodeAt(0); });
  }
  function unpack(packed) {
    var whole = new Int16Array(bytes(packed[1]).buffer);
    return Array.from(whole, function (v) { return v === -32768 ? NaN : v * packed[0]; });
  }
  function points(packed) {
    var flat = unpack(packed), out = [];
    for (var i = 0; i < flat.length; i += 2) out.push([flat[i], flat[i + 1]]);
    return out;
  }

  // --- words ------------------------------------------------------------------------------
  function escaped(text) {
    var box = document.createElement("span");
    box.textContent = String(text);
    return box.innerHTML.replace(/"/g, "&quot;");
  }
  function number(v, digits, sign) {
    if (v === null || v === undefined || !isFinite(v)) return "\u2013";
    var text = v.toFixed(digits === undefined ? 2 : digits);
    if (Number(text) === 0) text = text.replace("-", "");
    else if (sign && v > 0) text = "+" + text;
    return text.replace("-", MINUS);
  }
  function counted(n, noun) { return n + " " + noun + (n === 1 ? "" : "s"); }
  function interval(mid, half) {
    if (!isFinite(half)) return "";
    return "[" + number(mid - half, 2, true) + ", " + number(mid + half, 2, true) + "]";
  }
  var sim = data.simulated ? '<b class="sim">Simulated.</b> ' : "";

  // --- what there is ------------------------------------------------------------------------
  var all = [];
  data.splits.forEach(function (split) {
    split.pairs.forEach(function (pair) { all.push({ split: split, pair: pair }); });
  });
  function address(entry) {
    return "#pair/" + [entry.split.name, entry.pair.l, entry.pair.p].map(encodeURIComponent).join("/");
  }
  function strength(entry) {
    var arm = entry.pair.a[0];
    return arm ? arm.t : 0;
  }
  function match(query) {
    var words = query.toUpperCase().split(/\s+/).filter(Boolean);
    function rank(entry) {
      var name = entry.pair.p.toUpperCase(), line = entry.pair.l.toUpperCase();
      var fits = words.every(function (word) {
        return name.indexOf(word) >= 0 || line.indexOf(word) === 0;
      });
      if (!fits) return -1;
      return words.some(function (word) { return name.split("+").indexOf(word) >= 0; }) ? 2
        : words.some(function (word) { return name.indexOf(word) === 0; }) ? 1 : 0;
    }
    return all.map(function (entry) { return { entry: entry, rank: rank(entry) }; })
      .filter(function (hit) { return hit.rank >= 0; })
      .sort(function (a, b) {
        return b.rank - a.rank || a.entry.pair.p.localeCompare(b.entry.pair.p, "en");
      })
      .map(function (hit) { return hit.entry; });
  }
  function list() {
    var query = box.value.trim();
    var found = query ? match(query) : all.slice().sort(function (a, b) {
      return strength(b) - strength(a);
    });
    var shown = found.slice(0, query ? SHOWN : 10);
    var head = !query ? "The strongest predictions of all " + counted(all.length, "pair") + ":"
      : found.length ? counted(found.length, "pair") + (found.length > SHOWN ? ", the first " + SHOWN : "") + ":"
      : "No pair of \u201c" + query + "\u201d is among the pairs of this report.";
    var several = data.splits.length > 1;
    hits.innerHTML = '<p class="note" role="status">' + escaped(head) + "</p><ul>" +
      shown.map(function (entry) {
        var label = entry.pair.p + " in " + entry.pair.l;
        var split = several && entry.split.name !== entry.pair.l ? " <small>" + escaped(entry.split.name) + "</small>" : "";
        return '<li><a href="' + escaped(address(entry)) + '">' + escaped(label) + split + "</a></li>";
      }).join("") + "</ul>";
  }

  // --- drawings -----------------------------------------------------------------------------
  var W = 330, H = 290, LEFT = 44, BOTTOM = 36, UP = 12, RIGHT = 10;
  function span(values) {
    var low = Infinity, high = -Infinity;
    values.forEach(function (v) {
      if (isFinite(v)) { low = Math.min(low, v); high = Math.max(high, v); }
    });
    if (!isFinite(low)) { low = 0; high = 1; }
    var pad = 0.06 * (high - low || 1);
    return [low - pad, high + pad];
  }
  function ticks(range) {
    var step = Math.pow(10, Math.floor(Math.log10((range[1] - range[0]) / 3)));
    [5, 2].some(function (times) {
      if ((range[1] - range[0]) / (step * times) >= 2.5) { step *= times; return true; }
      return false;
    });
    var out = [];
    for (var v = Math.ceil(range[0] / step); v * step <= range[1]; v++) out.push(v * step);
    return { at: out, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
  }
  function axes(xs, ys, names, alt, inside) {
    var x = function (v) { return LEFT + (v - xs[0]) / (xs[1] - xs[0]) * (W - LEFT - RIGHT); };
    var y = function (v) { return H - BOTTOM - (v - ys[0]) / (ys[1] - ys[0]) * (H - BOTTOM - UP); };
    var text = "", tx = ticks(xs), ty = ticks(ys);
    tx.at.forEach(function (v) {
      text += '<line class="grid" x1="' + x(v).toFixed(1) + '" x2="' + x(v).toFixed(1) + '" y1="' + UP +
        '" y2="' + (H - BOTTOM) + '"/><text x="' + x(v).toFixed(1) + '" y="' + (H - BOTTOM + 13) +
        '" text-anchor="middle">' + number(v, tx.digits) + "</text>";
    });
    ty.at.forEach(function (v) {
      text += '<line class="grid" x1="' + LEFT + '" x2="' + (W - RIGHT) + '" y1="' + y(v).toFixed(1) +
        '" y2="' + y(v).toFixed(1) + '"/><text x="' + (LEFT - 5) + '" y="' + (y(v) + 3.5).toFixed(1) +
        '" text-anchor="end">' + number(v, ty.digits) + "</text>";
    });
    text += '<text class="name" x="' + (LEFT + (W - LEFT - RIGHT) / 2) + '" y="' + (H - 5) +
      '" text-anchor="middle">' + escaped(names[0]) + '</text><text class="name" transform="translate(11 ' +
      (UP + (H - BOTTOM - UP) / 2) + ') rotate(-90)" text-anchor="middle">' + escaped(names[1]) + "</text>";
    return '<svg class="plot" role="img" aria-label="' + escaped(alt) + '" viewBox="0 0 ' + W + " " + H + '">' +
      text + inside(x, y) + "</svg>";
  }
  function dot(x, y, kind, title, r) {
    return '<circle class="' + kind + '" cx="' + x.toFixed(1) + '" cy="' + y.toFixed(1) + '" r="' + (r || 2.6) +
      '">' + (title ? "<title>" + escaped(title) + "</title>" : "") + "</circle>";
  }
  function labels(places) {
    var text = "", taken = [];
    places.forEach(function (p) {
      var end = p.x > W - 90, width = 6.4 * p.text.length;
      var left = end ? p.x - 6 - width : p.x + 6;
      var clash = taken.some(function (t) {
        return Math.abs(t.y - p.y) < 11 && left < t.left + t.width && t.left < left + width;
      });
      if (clash) return;
      taken.push({ y: p.y, left: left, width: width });
      text += '<text class="gene" x="' + (end ? p.x - 6 : p.x + 6).toFixed(1) + '" y="' + (p.y + 3.5).toFixed(1) +
        '" text-anchor="' + (end ? "end" : "start") + '">' + escaped(p.text) + "</text>";
    });
    return text;
  }
  function panel(svg, caption) {
    return '<figure class="panel">' + svg + "<figcaption>" + sim + caption + "</figcaption></figure>";
  }
  function scatter(view, arm) {
    var both = span(view.rows.reduce(function (v, r) { return v.concat([r.d, r.o]); }, []));
    var svg = axes(both, both, ["measured change, log1p", "predicted change"],
      "Predicted against measured change of every gene", function (x, y) {
        var text = '<line class="guide" x1="' + x(both[0]) + '" y1="' + y(both[0]) + '" x2="' + x(both[1]) +
          '" y2="' + y(both[1]) + '"/>';
        view.rows.forEach(function (r) {
          text += dot(x(r.o), y(r.d), r.called ? (r.d > 0 ? "up" : "down") : "still",
            r.gene + ": predicted " + number(r.d, 2, true) + ", measured " + number(r.o, 2, true));
        });
        return text + labels(view.byBoth.slice(0, 8).map(function (r) {
          return { x: x(r.o), y: y(r.d), text: r.gene };
        }));
      });
    return panel(svg, "One dot per gene: its measured and its predicted change. The dashed line is a perfect " +
      "prediction. Coloured: the interval of the prediction leaves out 0.");
  }
  function volcano(view) {
    var xs = span(view.rows.map(function (r) { return r.o; }));
    var ys = [0, Math.max.apply(null, view.rows.map(function (r) { return r.v; }).concat([1])) * 1.06];
    var svg = axes(xs, ys, ["measured change, log1p", MINUS + "log10 p of the measured change"],
      "Volcano plot of the measured change, coloured by the prediction", function (x, y) {
        var text = "";
        view.rows.forEach(function (r) {
          text += dot(x(r.o), y(r.v), r.called ? (r.d > 0 ? "up" : "down") : "still",
            r.gene + ": measured " + number(r.o, 2, true) + ", predicted " + number(r.d, 2, true));
        });
        return text + labels(view.byMeasured.slice(0, 8).map(function (r) {
          return { x: x(r.o), y: y(r.v), text: r.gene };
        }));
      });
    return panel(svg, 'The measured cells against the yardstick controls; <span class="up">●</span> predicted to rise, ' +
      '<span class="down">●</span> predicted to fall (interval without 0), <span class="still">●</span> neither.');
  }
  function clouds(view, split, pair, of) {
    var control = points(split.controls[pair.l]), real = points(pair.c), made = points(of.c);
    var every = control.concat(real, made);
    var svg = axes(span(every.map(function (p) { return p[0]; })), span(every.map(function (p) { return p[1]; })),
      ["first principal component", "second principal component"],
      "Control, measured and predicted cells on two principal components", function (x, y) {
        function draw(cells, kind, title) {
          return cells.map(function (p) { return dot(x(p[0]), y(p[1]), kind, title, 3); }).join("");
        }
        return draw(control, "control", "control cell") + draw(real, "real", "measured cell") +
          draw(made, "made", "predicted cell");
      });
    return panel(svg, '<span class="control">●</span> given control cells, <span class="real">●</span> ' +
      counted(real.length, "measured cell") + ', <span class="made">●</span> ' + counted(made.length, "predicted cell") +
      ", on the components of training cells.");
  }

  // --- tables -------------------------------------------------------------------------------
  function table(caption, heads, rows) {
    return '<div class="scroll" role="region" tabindex="0" aria-label="' + escaped(caption) + '"><table><caption><span>' +
      sim + escaped(caption) + "</span></caption><thead><tr>" + heads.map(function (head, i) {
        return '<th scope="col"' + (i ? ' class="n"' : "") + ">" + escaped(head) + "</th>";
      }).join("") + "</tr></thead><tbody>" + rows.map(function (row) {
        return "<tr>" + row.map(function (cell, i) {
          var kind = cell && cell.mark ? ' class="n ' + cell.mark + '"' : ' class="n"';
          var text = escaped(cell && cell.text !== undefined ? cell.text : cell);
          return i ? "<td" + kind + ">" + text + "</td>" : '<th scope="row">' + text + "</th>";
        }).join("") + "</tr>";
      }).join("") + "</tbody></table></div>";
  }
  function genes(view, rows, caption) {
    var heads = ["Gene", "Predicted", "Interval"].concat(view.moves ? ["P(moves)"] : [], ["Measured", "Inside"]);
    return table(caption, heads, rows.map(function (r) {
      var inside = !isFinite(r.h) ? "\u2013" : Math.abs(r.o - r.d) <= r.h ? "yes" : "no";
      var line = [r.gene + (r.target ? " (target)" : ""),
        { text: number(r.d, 2, true), mark: r.called ? (r.d > 0 ? "up" : "down") : "" }, interval(r.d, r.h)];
      if (view.moves) line.push(number(r.m, 2));
      return line.concat([number(r.o, 2, true), inside]);
    }));
  }
  function look(pair, of) {
    var at = pair.i ? Array.from(new Uint16Array(bytes(pair.i).buffer)) : data.genes.map(function (_, i) { return i; });
    var o = unpack(pair.o), v = bytes(pair.v), d = unpack(of.d), h = unpack(of.h), m = of.m ? bytes(of.m) : null;
    var targets = pair.p.split("+");
    var rows = at.map(function (gene, i) {
      return { gene: data.genes[gene], o: o[i], v: v[i] / 10, d: d[i], h: h[i], m: m ? m[i] / 255 : NaN,
        target: targets.indexOf(data.genes[gene]) >= 0, called: isFinite(h[i]) && Math.abs(d[i]) > h[i] };
    });
    function by(size) { return rows.slice().sort(function (a, b) { return size(b) - size(a); }); }
    return { rows: rows, moves: !!m,
      byPredicted: by(function (r) { return Math.abs(r.d); }),
      byMeasured: by(function (r) { return Math.abs(r.o); }),
      byBoth: by(function (r) { return Math.max(Math.abs(r.o), Math.abs(r.d)); }) };
  }
  function summary(split, pair, of, arm, view) {
    var up = view.rows.filter(function (r) { return r.called && r.d > 0; }).length;
    var down = view.rows.filter(function (r) { return r.called && r.d < 0; }).length;
    var level = Math.round(100 * data.level) + " %";
    var kept = view.rows.length < data.genes.length ? " Of " + data.genes.length + " genes the " + view.rows.length +
      " that move most are kept on this page." : "";
    var sure = view.rows.some(function (r) { return isFinite(r.h); })
      ? counted(up, "gene") + " up and " + down + " down have a " + level + " interval that leaves out 0"
      : "there are no intervals, since too few validation pairs calibrate them";
    var support = of.u === null ? "" : " Support " + number(of.u) + " of 1: how near and how reliable the evidence is.";
    var near = pair.s === null ? "" : " The most similar perturbation by its text that may be retrieved has a similarity of " +
      number(pair.s) + ".";
    return "<p><strong>" + escaped(arm.name) + "</strong> predicts a change of size " + number(of.t) +
      " (L2 norm of the change over all genes); " + sure + "." + support + near + " Measured on " +
      counted(pair.n, "cell") + ": a change of size " + number(pair.e) + "." + kept + "</p>" +
      (of.w ? '<p class="note">' + escaped(of.w) + "</p>" : "");
  }
  function show(entry, which) {
    var split = entry.split, pair = entry.pair;
    var known = split.arms.filter(function (_, i) { return pair.a[i]; });
    var chosen = split.arms.indexOf(known[which] || known[0]);
    var arm = split.arms[chosen], of = pair.a[chosen];
    var head = "<h3 tabindex=\"-1\">" + escaped(pair.p + " in " + pair.l) + '</h3><p class="note">' + escaped(split.place) + "</p>";
    if (!of) { page.innerHTML = head + "<p>No arm that is shown here predicted this pair.</p>"; page.hidden = false; return; }
    var view = look(pair, of);
    var choice = known.length < 2 ? "" : '<p role="group" aria-label="Arm">' + known.map(function (other, i) {
      return '<button type="button" data-arm="' + i + '" aria-pressed="' + (other === arm) + '">' + escaped(other.name) + "</button>";
    }).join(" ") + "</p>";
    var evidence = of.k.length ? table("Why: the measured responses or genes that this prediction rests on, the largest effect first",
      ["Retrieved", "Similarity", arm.weight, "Effect of leaving it out"],
      of.k.map(function (row) {
        return [row[0], number(row[1], 3), { text: number(row[2], 3, arm.weight !== "gate"), mark: row[2] < 0 ? "negative" : "" }, number(row[3], 3)];
      })) : '<p class="note">' + escaped(arm.name) + " retrieves nothing for this pair, so that there is no evidence to list.</p>";
    var scores = table("Scores of this pair", ["Metric", arm.name, "mean baseline", "replicate"],
      split.metrics.map(function (metric, i) {
        return [metric, number(of.s[i], 3), number(pair.f[i], 3), number(pair.z[i], 3)];
      }));
    page.innerHTML = head + choice + summary(split, pair, of, arm, view) +
      '<div class="side"><div>' + genes(view, view.byPredicted.slice(0, TOP), "The genes predicted to change most") +
      "</div><div>" + genes(view, view.byMeasured.slice(0, TOP), "The genes measured to change most") + "</div></div>" +
      '<div class="panels">' + scatter(view) + volcano(view) + clouds(view, split, pair, of) + "</div>" +
      '<div class="side"><div>' + evidence + "</div><div>" + scores + "</div></div>";
    page.hidden = false;
    Array.prototype.forEach.call(page.querySelectorAll("button[data-arm]"), function (button) {
      button.addEventListener("click", function () { show(entry, Number(button.dataset.arm)); });
    });
  }
  function route() {
    var parts = /^#pair\/([^/]*)\/([^/]*)\/([^/]*)$/.exec(location.hash);
    if (!parts) return;
    var names = parts.slice(1).map(decodeURIComponent);
    var entry = all.filter(function (e) {
      return e.split.name === names[0] && e.pair.l === names[1] && e.pair.p === names[2];
    })[0];
    if (!entry) return;
    show(entry, 0);
    box.value = entry.pair.p;
    list();
    page.scrollIntoView({ block: "start" });
  }
  box.addEventListener("input", list);
  box.form.addEventListener("submit", function (event) {
    event.preventDefault();
    var first = hits.querySelector("a");
    if (first && box.value.trim()) location.hash = first.getAttribute("href");
  });
  window.addEventListener("hashchange", route);
  list();
  if (all.length) show(all.slice().sort(function (a, b) { return strength(b) - strength(a); })[0], 0);
  route();
})();
