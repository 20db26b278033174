<?php

declare(strict_types=1);

http_response_code(404);
readfile(__DIR__ . '/default/404.html');
