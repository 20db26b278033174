<?php

declare(strict_types=1);

http_response_code(503);
readfile(__DIR__ . '/default/report.html');
