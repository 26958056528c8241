// Search, and the answer for one gene, drawn from the data that the page carries.
(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("data").textContent);
  var box = document.getElementById("search"), hits = document.getElementById("hits");
  var status = document.getElementById("status"), answer = document.getElementById("answer");
  var SHOWN = 24, NAME = 0, LEVEL = 1, STRENGTH = 2, MOVING = 3, CONFIDENCE = 4, NEAREST = 5,
    SIMILARITY = 6, TOP = 7, EVIDENCE = 8, CHECKS = 9;
  var byName = new Map(data.pairs.map(function (pair) { return [pair[NAME], pair]; }));
  var strongest = data.pairs.slice().sort(function (a, b) { return b[STRENGTH] - a[STRENGTH]; });

  function escaped(text) {
    return String(text).replace(/[&<>"]/g, function (c) {
      return { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" }[c];
    });
  }
  function number(v, digits, sign) {
    if (v === null || v === undefined) return "\u2013";
    var text = v.toFixed(digits);
    if (Number(text) === 0) text = text.replace("-", "");
    else if (sign && v > 0) text = "+" + text;
    return text.replace("-", "\u2212");
  }
  function found(query) {
    var word = query.toUpperCase();
    function rank(pair) {
      var name = pair[NAME].toUpperCase();
      return name === word ? 0 : name.split("+").indexOf(word) >= 0 ? 1
        : name.indexOf(word) === 0 ? 2 : name.indexOf(word) > 0 ? 3 : 4;
    }
    return data.pairs.map(function (pair) { return [rank(pair), pair]; })
      .filter(function (hit) { return hit[0] < 4; })
      .sort(function (a, b) { return a[0] - b[0] || a[1][NAME].localeCompare(b[1][NAME], "en"); })
      .map(function (hit) { return hit[1]; });
  }
  function list() {
    var query = box.value.trim(), of = query ? found(query) : strongest;
    status.textContent = !query ? "The strongest predictions of " + data.pairs.length + ":"
      : of.length ? of.length + " found" + (of.length > SHOWN ? ", the first " + SHOWN : "") + ":"
        : "No perturbation on this page has \u201c" + query + "\u201d in its name; predict it with ptrag predict.";
    hits.innerHTML = of.slice(0, query ? SHOWN : 10).map(function (pair) {
      return '<li><a href="#' + encodeURIComponent(pair[NAME]) + '">' + escaped(pair[NAME]) + "</a></li>";
    }).join("");
    return of;
  }
  function plot(pair) {
    var rows = pair[TOP], left = 110, width = 480, height = 18 * rows.length + 40;
    var ends = rows.reduce(function (v, r) { return v.concat(r.slice(1, 4)); }, [0])
      .filter(function (v) { return v !== null && v !== undefined; });
    var low = Math.min.apply(null, ends), high = Math.max.apply(null, ends), span = high - low || 1;
    function x(v) { return (left + (v - low) / span * (width - left - 20)).toFixed(1); }
    var text = '<line x1="' + x(0) + '" x2="' + x(0) + '" y1="4" y2="' + (height - 34) + '"/><text x="' + (left + width - 20) / 2 + '" y="' + (height - 5) +
      '" text-anchor="middle">predicted change, log1p</text>' +
      [low, 0, high].filter(function (v, i) { return i === 1 || Math.abs(v) > span / 10; }).map(function (v) {
        return '<text x="' + x(v) + '" y="' + (height - 20) + '" text-anchor="middle">' + number(v, 2, true) + "</text>";
      }).join("");
    rows.forEach(function (r, i) {
      var y = 14 + 18 * i, kind = r[1] > 0 ? "up" : "down";
      text += '<text x="' + (left - 12) + '" y="' + (y + 4) + '" text-anchor="end">' + escaped(data.genes[r[0]]) + "</text>";
      if (r.length > 3 && r[2] !== null) {
        text += '<line class="' + kind + '" x1="' + x(r[2]) + '" x2="' + x(r[3]) + '" y1="' + y + '" y2="' + y + '"/>';
      }
      text += '<circle class="' + kind + '" r="4" cx="' + x(r[1]) + '" cy="' + y + '"/>';
    });
    return '<svg class="plot" role="img" viewBox="0 0 ' + width + " " + height + '" aria-label="Predicted change of the genes that move most in ' +
      escaped(pair[NAME]) + '">' + text + "</svg>";
  }
  function table(caption, heads, rows) {
    return '<div class="scroll" role="region" tabindex="0" aria-label="' + escaped(caption) + '"><table><caption><span>' + escaped(caption) +
      "</span></caption><thead><tr>" + heads.map(function (head, i) {
        return '<th scope="col"' + (i ? ' class="n"' : "") + ">" + escaped(head) + "</th>";
      }).join("") + "</tr></thead><tbody>" + rows.map(function (row) {
        return "<tr>" + row.map(function (cell, i) {
          return i ? '<td class="n">' + escaped(cell) + "</td>" : '<th scope="row">' + escaped(cell) + "</th>";
        }).join("") + "</tr>";
      }).join("") + "</tbody></table></div>";
  }
  function genes(pair) {
    return table("Genes of largest predicted rise and fall", ["Gene", "Change", "Interval", "P(moves)"],
      pair[TOP].map(function (r) {
        var known = r.length > 3 && r[2] !== null;
        return [data.genes[r[0]], number(r[1], 3, true),
          known ? number(r[2], 2, true) + " to " + number(r[3], 2, true) : "\u2013", number(r[4], 2)];
      }));
  }
  function evidence(pair) {
    if (!pair[EVIDENCE].length) return "<p>No measured response of a single perturbation entered; what is predicted is what the perturbations of the screen share.</p>";
    return table("Measured responses that it was made of, by effect", ["Response", "Similarity", "Weight", "Effect"],
      pair[EVIDENCE].map(function (r) {
        return [data.names[r[0]], number(r[1], 2), number(r[2], 3, true), number(r[3], 3)];
      }));
  }
  function show(pair) {
    var sure = pair[CONFIDENCE] === null ? "The arm knows no spread: how sure this is cannot be said."
      : "Confidence " + number(pair[CONFIDENCE], 2) + " of 1" + (pair[MOVING] === null ? "." : "; " + pair[MOVING] +
        " genes move with a probability of .95 or more.");
    var near = pair[NEAREST] === null ? "" : " Nearest measured perturbation by its text: " + data.names[pair[NEAREST]] +
      " (similarity " + number(pair[SIMILARITY], 2) + ").";
    answer.innerHTML = "<h2>" + escaped(pair[NAME]) + "</h2><p><strong>" + escaped(data.levels[pair[LEVEL]]) +
      "</strong>. Size of the predicted change (L2 norm): " + number(pair[STRENGTH], 2) + ".</p>" +
      "<h3>What is predicted</h3>" + plot(pair) + "<details><summary>As numbers</summary>" + genes(pair) + "</details>" +
      "<h3>How sure</h3><p>" + escaped(sure) + "</p><h3>From what</h3><p>" + escaped(near) + "</p>" + evidence(pair) +
      "<h3>What to check</h3>" + (pair[CHECKS].length ? "<ul>" + pair[CHECKS].map(function (at) {
        return "<li>" + escaped(data.checks[at]) + "</li>";
      }).join("") + "</ul>" : "<p>Nothing beyond where the line stands.</p>");
  }
  function asked() {
    var pair = byName.get(decodeURIComponent(location.hash.slice(1)));
    if (pair) show(pair);
    return pair;
  }
  box.addEventListener("input", list);
  box.form.addEventListener("submit", function (event) {
    event.preventDefault();
    var first = list()[0];
    if (first) location.hash = encodeURIComponent(first[NAME]);
  });
  window.addEventListener("hashchange", asked);
  var first = list()[0];
  if (!asked() && first) show(first);
})();
